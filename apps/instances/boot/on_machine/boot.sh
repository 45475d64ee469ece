#!/bin/sh
# Gets a machine ready for its agent. Runs before each start of it, so it does nothing twice; what
# it cannot do it says and goes on, for the agent tells whoever needs what is missing.
# Its arguments name what the machine needs besides Python: docker, nvidia, gateway.
set -u
KEYRING=/usr/share/keyrings/nvidia-container-toolkit.asc
LIST=/etc/apt/sources.list.d/nvidia-container-toolkit.list
NVIDIA=https://nvidia.github.io/libnvidia-container

say() { echo "dstack-web: $*"; }
have() { command -v "$1" >/dev/null 2>&1; }
quietly() { "$@" >>/var/log/dstack-agent-boot.log 2>&1; }

install() {
    say "installing $*"
    # Python itself may be what is missing.
    ! have python3 || python3 /opt/dstack-agent/fetch.py --tell "installing $*"
    if have apt-get; then
        export DEBIAN_FRONTEND=noninteractive
        quietly apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update
        quietly apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
            install -y --no-install-recommends "$@"
    elif have dnf; then
        quietly dnf -q -y install "$@"
    else
        false
    fi || { say "could not install $*: see /var/log/dstack-agent-boot.log"; return 1; }
}

docker_engine() {
    have dockerd || {
        if have apt-get; then install docker.io iptables; else install docker; fi || return
    }
    quietly systemctl enable --now docker
}

# As NVIDIA documents it. With the cgroup driver systemd, containers lose their GPUs when systemd
# reads its units anew.
nvidia_toolkit() {
    have dockerd || return
    if ! have nvidia-ctk; then
        if have apt-get; then
            python3 /opt/dstack-agent/fetch.py "$NVIDIA/gpgkey" "$KEYRING" || return
            echo "deb [signed-by=$KEYRING] $NVIDIA/stable/deb/\$(ARCH) /" >"$LIST"
        else
            python3 /opt/dstack-agent/fetch.py "$NVIDIA/stable/rpm/nvidia-container-toolkit.repo" \
                /etc/yum.repos.d/nvidia-container-toolkit.repo || return
        fi
        install nvidia-container-toolkit || return
    fi
    grep -q native.cgroupdriver=cgroupfs /etc/docker/daemon.json 2>/dev/null && return
    say "setting up Docker for GPUs"
    quietly nvidia-ctk runtime configure --runtime=docker
    python3 /opt/dstack-agent/fetch.py --cgroupfs /etc/docker/daemon.json
    quietly systemctl restart docker
}

# The agent starts HAProxy and sshd itself, each with settings of its own.
gateway() {
    if have apt-get; then
        (have haproxy && have sshd && python3 -c 'import ensurepip') 2>/dev/null ||
            install haproxy openssh-server python3-venv || return
    else
        (have haproxy && have sshd) || install haproxy openssh-server || return
    fi
    quietly systemctl disable --now haproxy
}

have python3 || install python3 || exit 1
python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' || {
    say "the agent needs Python 3.9, and this image has $(python3 --version 2>&1)"
    exit 1
}
if have apt-get; then
    have ssh-keygen || install openssh-client
else
    have ssh-keygen || install openssh-clients
fi
for need in "$@"; do
    case $need in
        docker) docker_engine ;;
        nvidia) nvidia_toolkit ;;
        gateway) gateway ;;
    esac
done
[ -s /opt/dstack-agent/agent.pyz ] || exec python3 /opt/dstack-agent/fetch.py
