#!/usr/bin/env bash
# Says which of the programs that a check of deploy/ needs are missing, and on a
# Debian machine installs them: as root, or where sudo asks for no password.
#
#   deploy/check/tools.sh buildah runc busybox
#
# Ends with 1 if one of them is missing in the end: a check that cannot be made has
# not passed.
set -euo pipefail

# Debian's package of a program, where it has another name.
package() {
  case $1 in
    busybox) echo busybox-static ;; # a dynamic one needs libraries that the builder image has not
    promtool) echo prometheus ;;
    node) echo nodejs ;;
    nginx) echo nginx-core ;;
    *) echo "$1" ;;
  esac
}

# Where Debian has nginx, which is not everybody's to look in.
PATH="$PATH:/usr/sbin:/sbin"

missing=() packages=()
for tool in "$@"; do
  command -v "$tool" >/dev/null || { missing+=("$tool"); packages+=("$(package "$tool")"); }
done
((${#missing[@]})) || exit 0

as_root=()
((EUID == 0)) || as_root=(sudo -n)
if command -v apt-get >/dev/null && { ((EUID == 0)) || sudo -n true 2>/dev/null; }; then
  printf 'installing %s\n' "${packages[*]}"
  # Not their services: a check starts what it needs, on ports of its own.
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi
left=()
for tool in "${missing[@]}"; do
  command -v "$tool" >/dev/null || left+=("$tool")
done
if ((${#left[@]})); then
  printf 'missing: %s\nNOT CHECKED, and so not passed. On Debian: apt-get install %s\n' "${left[*]}" "${packages[*]}" >&2
  exit 1
fi
