"""OpenSSH's server as the gateway runs it: its own configuration, host key and user.

Nothing of the machine's own sshd is touched or needed, and neither of them knows of the other.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gateway import atomic_write
from gateway.errors import TunnelsUnavailable
from gateway.schema import RELAY_PORT

FOLDER = "tunnels"
CONFIG, HOST_KEY, KEYS = "sshd_config", "host_key", "authorized_keys"
USER = "dstack-tunnel"
# Where sshd lies is on the path of few users.
PATH = f"{os.defpath}:/usr/sbin:/usr/local/sbin:/sbin"
# Where sshd reads keys it is the other user already, who reads nothing of the gateway's home.
ROOT_FOLDER, KEYS_FOLDER = Path("/run"), "dstack-tunnels-"
PRIVILEGE_SEPARATION = Path("/run/sshd")
TOOL_SECONDS = 20
LOGIN_SECONDS = 10
RULES = f"""\
HostKey {FOLDER}/{HOST_KEY}
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UsePAM no
PubkeyAcceptedAlgorithms ssh-ed25519
Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com
AllowTcpForwarding yes
PermitOpen 127.0.0.1:{RELAY_PORT}
GatewayPorts no
AllowStreamLocalForwarding no
AllowAgentForwarding no
X11Forwarding no
PermitTunnel no
PermitTTY no
PermitUserRC no
PermitUserEnvironment no
MaxSessions 0
MaxAuthTries 3
LoginGraceTime {LOGIN_SECONDS}
ClientAliveInterval 2
ClientAliveCountMax 2
Compression no
UseDNS no
PrintMotd no
PidFile none
LogLevel INFO
"""


@dataclass(frozen=True)
class Sshd:
    """`keys` is the file of keys, `uid` the user as whom who came in listens."""

    binary: str
    user: str
    uid: int
    keys: Path
    host_key: str

    def write_keys(self, text: str) -> None:
        """Replace the file of keys. Raise OSError."""
        atomic_write.write_text(self.keys, text)
        if os.geteuid() == 0:
            # Kept from all but root until here.
            os.chown(self.keys, 0, pwd.getpwuid(self.uid).pw_gid)
            self.keys.chmod(0o640)


def prepare(home: Path) -> Sshd:
    """Make what sshd needs. Raise TunnelsUnavailable and OSError."""
    binary = shutil.which("sshd", path=PATH)
    keygen = shutil.which("ssh-keygen", path=PATH)
    if binary is None or keygen is None:
        raise TunnelsUnavailable("there is no OpenSSH server; install the package openssh-server")
    folder = home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    is_root = os.geteuid() == 0
    account = _own_account() if is_root else _this_account()
    keys = _keys_folder(home) / KEYS if is_root else folder.absolute() / KEYS
    made = Sshd(binary, account.pw_name, account.pw_uid, keys, _host_key(keygen, folder))
    atomic_write.write_text(folder / CONFIG, config(made, strict=is_root))
    return made


def config(sshd: Sshd, *, strict: bool) -> str:
    """Return sshd's configuration. Raise TunnelsUnavailable where a path cannot be written."""
    path = str(sshd.keys)
    if not path.isprintable() or '"' in path or "\\" in path:
        raise TunnelsUnavailable(f"sshd cannot read a path like {path!r}: take another home")
    keys = path.replace("%", "%%")
    return (
        f'{RULES}AllowUsers {sshd.user}\nAuthorizedKeysFile "{keys}"\n'
        f"StrictModes {'yes' if strict else 'no'}\n"
    )


def _host_key(keygen: str, folder: Path) -> str:
    """Return the public host key, whose private one is made once."""
    file = folder / HOST_KEY
    if not file.exists():
        part = folder / f"{HOST_KEY}.part"
        for left in (part, folder / f"{HOST_KEY}.part.pub"):
            left.unlink(missing_ok=True)
        _run([keygen, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(part)])
        part.replace(file)
    said = _run([keygen, "-y", "-f", str(file)])
    return " ".join(said.split()[:2])


def _own_account() -> pwd.struct_passwd:
    """Return the account of those who come in: without a shell, a home or a password."""
    PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    try:
        found = pwd.getpwnam(USER)
    except KeyError:
        useradd = shutil.which("useradd", path=PATH)
        if useradd is None:
            raise TunnelsUnavailable(f"there is no user {USER} and no useradd to add it") from None
        # With a password that none is: an account without one counts as locked.
        _run(
            [useradd, "--system", "--no-create-home", "--home-dir", "/nonexistent"]
            + ["--shell", "/usr/sbin/nologin", "--password", "*", USER]
        )
        found = pwd.getpwnam(USER)
    if found.pw_uid == 0:
        raise TunnelsUnavailable(f"the user {USER} is root")
    return found


def leave(home: Path) -> None:
    """Take away what `prepare` made outside of a home whose gateway is no more."""
    shutil.rmtree(_keys_name(home), ignore_errors=True)
    userdel = shutil.which("userdel", path=PATH)
    others = any(ROOT_FOLDER.glob(f"{KEYS_FOLDER}*"))
    if os.geteuid() == 0 and userdel is not None and not others:
        subprocess.run([userdel, USER], capture_output=True, timeout=TOOL_SECONDS, check=False)


def _this_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError:
        raise TunnelsUnavailable(f"the user {os.geteuid()} has no name on this machine") from None


def _keys_folder(home: Path) -> Path:
    folder = _keys_name(home)
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)
    return folder


def _keys_name(home: Path) -> Path:
    name = hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:16]
    return ROOT_FOLDER / f"{KEYS_FOLDER}{name}"


def _run(command: list[str]) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=TOOL_SECONDS
        ).stdout
    except subprocess.CalledProcessError as error:
        why = error.stderr.strip() or f"code {error.returncode}"
        raise TunnelsUnavailable(f"{command[0]} failed: {why}") from None
    except subprocess.TimeoutExpired:
        raise TunnelsUnavailable(f"{command[0]} did not end in {TOOL_SECONDS} s") from None
