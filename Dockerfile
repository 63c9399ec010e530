# One image for all controllers: the command says which one a container runs.
#
#   docker build -t headrace:0.1.0 .
#   docker run --rm headrace:0.1.0 kustomize_controller --help
#
# To pin the base images, name them by digest: --build-arg GO_IMAGE=golang@sha256:… --build-arg PYTHON_IMAGE=python@sha256:…
ARG GO_IMAGE=golang:1.26
ARG PYTHON_IMAGE=python:3.13-slim

# --- the build engine, a static binary; go.sum pins its modules ---
FROM ${GO_IMAGE} AS engine
WORKDIR /src
COPY tools/engine/go.mod tools/engine/go.sum ./
RUN go mod download
COPY tools/engine/*.go ./
RUN CGO_ENABLED=0 GOTOOLCHAIN=local go build -trimpath -ldflags "-s -w" -o /engine .

# --- the Python packages, and our own compiled to bytecode, since the last stage's file system is never written ---
FROM ${PYTHON_IMAGE} AS packages
WORKDIR /build
COPY requirements.lock pyproject.toml ./
# The lock file names what development needs as well. All of it is downloaded and checked against its hashes; what the
# controllers need is then installed from these files and from nowhere else. Nothing is compiled.
RUN python -m pip download --no-cache-dir --require-hashes --only-binary :all: --no-deps --dest wheels -r requirements.lock
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > wanted.txt \
    && python -m venv --without-pip /opt/headrace \
    && python -m pip --python /opt/headrace/bin/python install --no-cache-dir --no-index --find-links wheels -r wanted.txt
COPY shared /app/shared
COPY source_controller /app/source_controller
COPY kustomize_controller /app/kustomize_controller
RUN python -m compileall -q --invalidation-mode unchecked-hash /app

# --- what runs: no compiler, no pip ---
FROM ${PYTHON_IMAGE}
RUN python -m pip uninstall --yes --root-user-action ignore pip
COPY --from=engine /engine /usr/local/bin/engine
COPY --from=packages /opt/headrace /opt/headrace
COPY --from=packages /app /app
COPY LICENSE /app/LICENSE
ENV PATH=/opt/headrace/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
WORKDIR /app
USER 65534:65534
ENTRYPOINT ["python", "-m"]
CMD ["source_controller", "--help"]
