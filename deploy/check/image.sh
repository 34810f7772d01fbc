#!/usr/bin/env bash
# Builds castoff's image for both platforms with buildah, and tries it: see
# deploy/image_test.go. Needs buildah, runc, busybox-static and CA roots, as Debian
# has them, and Go. No registry is asked: the builder image is made of this
# machine's Go and of busybox.
#
#   deploy/check/image.sh            # what make image does
#   PLATFORMS=amd64 deploy/check/image.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

platforms=${PLATFORMS:-amd64 arm64}
version=${VERSION:-0.0.0-check}
revision=$(git rev-parse HEAD 2>/dev/null || echo 0000000000000000000000000000000000000000)
native=$(go env GOHOSTARCH)
busybox=$(command -v busybox) || { echo "busybox is missing: Debian's busybox-static" >&2; exit 1; }

# All of it stays below .cache: this machine's own images are left alone.
cache=$PWD/.cache/image
mkdir -p "$cache"
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
b() { buildah --root "$cache/storage" --runroot "$cache/run" "$@"; }

# What a run that failed left behind.
b rm --all >/dev/null

printf 'builder image\n'
builder=$(b from scratch)
b copy -q "$builder" "$busybox" /bin/busybox >/dev/null
b copy -q "$builder" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt >/dev/null
b run "$builder" -- /bin/busybox sh -c "/bin/busybox --install /bin; mkdir -m 1777 /tmp"
b config --env PATH=/usr/local/go/bin:/bin --env GOPATH=/go --env GOTOOLCHAIN=local "$builder"
b commit -q --rm "$builder" localhost/castoff-builder >/dev/null

for arch in $platforms; do
  printf 'image for linux/%s\n' "$arch"
  # The modules and the compiler's cache of this machine: nothing is fetched twice.
  b build -q --format docker --platform "linux/$arch" -t "localhost/castoff:$arch" \
    --build-arg BUILDPLATFORM="linux/$native" --build-arg BUILDER=localhost/castoff-builder --build-arg VERSION="$version" --build-arg REVISION="$revision" \
    -v "$(go env GOROOT):/usr/local/go:ro" -v "$(go env GOMODCACHE):/go/pkg/mod" -v "$(go env GOCACHE):/root/.cache/go-build" \
    . >/dev/null
  rm -rf "$cache/$arch"
  mkdir -p "$cache/$arch"
  b inspect --type image "localhost/castoff:$arch" >"$cache/$arch/inspect.json"
  container=$(b from --pull-never "localhost/castoff:$arch")
  cp -a "$(b mount "$container")" "$cache/$arch/rootfs"
  b rm "$container" >/dev/null
done

for arch in $platforms; do
  go test -count 1 ./deploy -run '^TestImage' -v -image "$cache/$arch"
done
