# castoff's image: one static binary, the CA roots, a directory for state. No
# shell, no package manager, not root; it runs with a read-only root file system.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) -t castoff .
#   docker buildx build --platform linux/amd64,linux/arm64 …
#
# make image builds it for both platforms with buildah and tries it.

# What compiles: has Go of go.mod's version or later, a shell, mkdir, and CA
# roots in /etc/ssl/certs/ca-certificates.crt.
ARG BUILDER=docker.io/library/golang:1.26-bookworm
# What castoff is put on. A distroless static image does as well.
ARG BASE=scratch

FROM --platform=$BUILDPLATFORM ${BUILDER} AS build
WORKDIR /src
# The modules first: they change less often than the code.
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY controller controller
COPY metrics metrics
ARG TARGETOS=linux
ARG TARGETARCH
ARG VERSION=
ARG REVISION=
# Time zones are in the binary (timetzdata), for TZ and the times in logs. Nothing is
# inlined: castoff waits for AWS most of the time, and AWS's SDK with all its
# operations is most of the binary, which is 3 MB smaller so. The lab is left out
# (nolab): it needs programs that are not here, and brings gRPC, 1.5 MB.
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -trimpath -buildvcs=false -tags timetzdata,nolab \
      -gcflags=all=-l \
      -ldflags "-s -w -X main.version=${VERSION} -X main.revision=${REVISION}" \
      -o /out/castoff ./cmd/castoff \
 && mkdir -p /out/state

FROM ${BASE}
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="castoff" \
      org.opencontainers.image.description="Times how ECS tasks behind Network Load Balancers fail, and takes sick targets out early" \
      org.opencontainers.image.source="https://github.com/castoff-ecs/castoff" \
      org.opencontainers.image.documentation="https://github.com/castoff-ecs/castoff/blob/main/deploy/README.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/state /state
COPY --from=build /out/castoff /castoff
# A volume takes its owner from here: on Fargate, too, where a bind mount would
# otherwise be root's.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/bind-mounts.html
VOLUME /state
USER 65532:65532
EXPOSE 9468
# For Docker. ECS does not look at it: its task definition has its own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["/castoff", "healthcheck"]
ENTRYPOINT ["/castoff"]
CMD ["run"]
