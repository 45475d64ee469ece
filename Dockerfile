# Three images: `server` (web, workers, beat, migrations), `gateway`, and `base`, in which replicas
# run that name no image of their own. `make images` builds the wheel first, then all three.
#
# The packages come from build/wheels where `make wheelhouse` has filled it, else from the index
# that pip is set to.

ARG PYTHON_IMAGE=python:3.12-slim-bookworm
ARG REPLICA_IMAGE=python:3.12-bookworm

FROM ${PYTHON_IMAGE} AS installed
ENV PATH=/opt/dstack/bin:$PATH PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/dstack && useradd --create-home --uid 1000 dstack \
    && install -d -o dstack -g dstack -m 0700 /data /data/server /data/server/agent /agent
COPY requirements.lock build/wheels* /build/wheels/
RUN cd /build/wheels && if ls ./*.whl >/dev/null 2>&1; then set -- --no-index --find-links .; fi \
    && pip install "$@" --require-hashes -r requirements.lock && rm -rf /build
COPY dist/*.whl /build/
RUN pip install --no-deps --no-index /build/*.whl && rm -rf /build \
    && ln -s "$(python -c 'import dstack_web; print(dstack_web.__path__[0])')/_static" /opt/static
ENV DSTACK_HOME=/data DJANGO_SETTINGS_MODULE=dstack_web.settings MALLOC_ARENA_MAX=2
WORKDIR /data
USER dstack

FROM installed AS server
# For the way out to gateways, where machines cannot call the server.
USER root
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        openssh-client \
    && rm -rf /var/lib/apt/lists/*
USER dstack
EXPOSE 3000
# Granian, and HAProxy before it.
CMD ["python", "-m", "dstack_web.front"]

FROM installed AS gateway
# For tunnels; the sshd of the package never runs by itself, and its host keys are not used.
USER root
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        openssh-client openssh-server \
    && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_*
USER dstack
ENV DSTACK_GATEWAY_HOME=/data DSTACK_GATEWAY_BIND=0.0.0.0
EXPOSE 8080
CMD ["python", "-m", "gateway"]

# Replicas bring their own packages: this image has a Python, a compiler and git. For GPUs build it
# on a CUDA image of your drivers' version, for example
# REPLICA_IMAGE=nvidia/cuda:12.6.3-runtime-ubuntu24.04; the driver itself comes from the host.
FROM ${REPLICA_IMAGE} AS base
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        bash build-essential ca-certificates curl git python3 python3-dev python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /workflow
CMD ["/bin/bash"]
