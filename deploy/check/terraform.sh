#!/usr/bin/env bash
# terraform fmt, init and validate of the module, and a mistake of each kind that
# validate must catch. The provider comes from the registry or, where that cannot be
# reached, from a directory that has it in the form of
# `terraform providers mirror`: TF_PLUGIN_DIR, or one in a usual place.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../terraform"

readme=$PWD/../README.md

# Of no user's settings.
export TF_CLI_CONFIG_FILE=/dev/null TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1

# Debian has no Terraform and its registry may be out of reach. Then this is said,
# loudly, and what does not need them (deploy's tests hold the module's parameters to
# CloudFormation's) must do.
unchecked() {
  printf '\n************************************************************\n%s\n************************************************************\n\n' "$1" >&2
  exit 0
}
command -v terraform >/dev/null || unchecked 'NOT CHECKED: the Terraform module. There is no terraform here:
https://developer.hashicorp.com/terraform/install'

terraform fmt -check -diff
printf 'terraform fmt: good\n'

work=$(cd ../.. && pwd)/.cache/terraform
mkdir -p "$work"
rm -rf "$work/deploy"
mkdir "$work/deploy"
cp -r ../terraform ../iam "$work/deploy/"
cd "$work/deploy/terraform"

from=()
if ! said=$(terraform init -no-color -backend=false 2>&1); then
  mirror=${TF_PLUGIN_DIR:-}
  if [[ -z $mirror ]]; then
    found=$(find /opt /usr/local/share/terraform /usr/share/terraform "$HOME/.terraform.d" -maxdepth 4 -type d -path '*/registry.terraform.io/hashicorp/aws' 2>/dev/null | head -n 1 || true)
    mirror=${found%/registry.terraform.io/hashicorp/aws}
  fi
  from=(-plugin-dir="$mirror")
  if [[ -z $mirror ]] || ! terraform init -no-color -backend=false "${from[@]}" >/dev/null; then
    printf '%s\n\n' "$said" >&2
    unchecked 'NOT CHECKED: terraform init and validate. The AWS provider can be had neither
from the registry nor from a mirror: set TF_PLUGIN_DIR to one, made elsewhere by
`terraform providers mirror`. Only the form of the module has been checked.'
  fi
fi
terraform validate -no-color

# What README.md has people write, beside a clone.
mkdir -p "$work/example"
ln -sfn . "$work/castoff"
sed -n '/^```hcl$/,/^```$/{/^```/d;p}' "$readme" >"$work/example/main.tf"
(cd "$work/example" && terraform fmt -check -diff && terraform init -no-color -backend=false "${from[@]}" >/dev/null && terraform validate -no-color)

# A check that cannot fail is none.
catch() { # what, file, sed script
  cp "$2" "$2.good"
  sed -i "$3" "$2"
  if cmp -s "$2" "$2.good"; then
    printf 'FAILED nothing to break for: %s\n' "$1" >&2
    exit 1
  fi
  if terraform validate -no-color >/dev/null 2>&1; then
    printf 'FAILED not caught: %s\n' "$1" >&2
    exit 1
  fi
  mv "$2.good" "$2"
  printf 'caught: %s\n' "$1"
}
catch 'an argument that does not exist' main.tf 's/retention_in_days/retention_days/'
catch 'a wrong type' main.tf 's/desired_count           = 1/desired_count           = "one"/'
catch 'a dangling reference' main.tf 's/aws_iam_role.task.arn/aws_iam_role.tasks.arn/'
catch 'a required argument left out' main.tf '/  family  /d'
catch 'a value that is none of those there are' main.tf 's/= "SERVICE"/= "TEAM"/'
cd "$work/example"
catch 'an example that gives what the module does not take' main.tf 's/  vpc_id  /  vpc  /'
