// Makes the calls that standard input lists, with the AWS SDK for JavaScript, and
// prints what each gave. Arguments: where the SDK is installed, and the endpoint.
import { createRequire } from "node:module";

const [modules, endpoint] = process.argv.slice(2);
const load = createRequire(modules + "/");
const packages = {
  ec2: ["@aws-sdk/client-ec2", "EC2Client"],
  ecs: ["@aws-sdk/client-ecs", "ECSClient"],
  elasticloadbalancing: ["@aws-sdk/client-elastic-load-balancing-v2", "ElasticLoadBalancingV2Client"],
  sts: ["@aws-sdk/client-sts", "STSClient"],
};

let text = "";
for await (const chunk of process.stdin) text += chunk;

const clients = {};
const results = [];
for (const { service, operation, input } of JSON.parse(text)) {
  const [name, client] = packages[service];
  const sdk = load(name);
  clients[service] ??= new sdk[client]({
    endpoint,
    region: "eu-central-1",
    maxAttempts: 1,
    credentials: { accessKeyId: "AKIASIMULATED", secretAccessKey: "simulated" },
  });
  try {
    const { $metadata, ...out } = await clients[service].send(new sdk[operation + "Command"](input));
    results.push({ failed: false, out: JSON.stringify(out) });
  } catch (error) {
    results.push({ failed: true, out: `${error.name}: ${error.message}` });
  }
}
console.log(JSON.stringify(results));
