"""The agent's command line and its life: wait for a configuration, serve it, until told to stop."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import threading
import typing
from pathlib import Path

from apps.agent import config as configuration
from apps.agent.agent import Agent
from apps.agent.host import home as homes
from apps.agent.host import pulse, trees
from apps.agent.host.journal import say
from apps.agent.isolation.network import Network
from apps.agent.machine import enrolment
from apps.agent.machine.keeper import Keeper, end_machine

# glibc gives each thread a heap of its own, which an agent that must stay small does not need.
M_ARENA_MAX = -8
WAIT_SECONDS = 0.2
FOLLOW_SECONDS = 0.5
# A file that is being replaced may be missing for a moment.
GONE_LOOKS = 3


def main(argv: list[str]) -> int:
    """Run the agent until SIGTERM or SIGINT; it returns the exit code."""
    os.umask(0o022)
    _stay_small()
    pulse.beat()
    arguments = _arguments().parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        source = None if arguments.end else _source(arguments)
        home = homes.open_home(Path(arguments.home).expanduser())
    except (configuration.BadConfig, homes.InUse) as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"the home cannot be used: {error.strerror}: {error.filename}")
        return 1
    if home.remark:
        say(home.remark)
    if source is None:
        _end(home)
    elif _enrolled(arguments, home, stop):
        serve(home=home, source=source, stop=stop, network=_network(home, arguments))
    return 0


def _enrolled(arguments: argparse.Namespace, home: homes.Home, stop: threading.Event) -> bool:
    """Enrol a new machine where it booted with an enrolment; tell whether there is more to do."""
    if not (arguments.enrolment and arguments.config):
        return True
    file = Path(arguments.enrolment)
    why = enrolment.enrol(file, Path(arguments.config), home=home.root, stop=stop)
    if why:
        end_machine(enrolment.rules_of(file), why, stop)
    return not why


def _network(home: homes.Home, arguments: argparse.Namespace) -> typing.Optional[Network]:
    """The networks that replicas get; None where they share the host's. Raise ValueError."""
    if not home.isolate or arguments.network == "host":
        return None
    ports = [int(number) for number in arguments.public_ports.replace(",", " ").split()]
    return Network(home.base, home_id=home.home_id, public_ports=ports)


def _stay_small() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agent", description="Runs replicas on this host.")
    environ = os.environ.get
    parser.add_argument("--home", default=environ("DSTACK_AGENT_HOME") or "~/.dstack-agent")
    parser.add_argument("--config", default=environ("DSTACK_AGENT_CONFIG"), help="a JSON file")
    parser.add_argument("--enrolment", help="a JSON file, traded for --config at the first start")
    parser.add_argument("--url", default=environ("DSTACK_URL"), help="the server's address")
    parser.add_argument("--token-file", help="instead of the variable DSTACK_AGENT_TOKEN")
    parser.add_argument(
        "--network",
        choices=("own", "host"),
        default=environ("DSTACK_AGENT_NETWORK") or "own",
        help="own: each replica has a network of its own, where the agent is root; host: none has",
    )
    parser.add_argument(
        "--public-ports",
        default=environ("DSTACK_AGENT_PUBLIC_PORTS") or "",
        help="ports of this host's gateway, which replicas with a network of their own may call",
    )
    parser.add_argument(
        "--end", action="store_true", help="stop the replicas that a killed agent left, then end"
    )
    return parser


def _source(arguments: argparse.Namespace) -> configuration.Source:
    if arguments.config:
        return configuration.FileSource(Path(arguments.config).expanduser())
    token = os.environ.get("DSTACK_AGENT_TOKEN", "")
    if arguments.token_file:
        try:
            token = Path(arguments.token_file).read_text().strip()
        except OSError as error:
            raise configuration.BadConfig(
                f"--token-file: {error.strerror}: {error.filename}"
            ) from error
    if not arguments.url:
        raise configuration.BadConfig("say which server: --config FILE, or --url and --token-file")
    return configuration.FixedSource(configuration.made(arguments.url, token))


def serve(
    *,
    home: homes.Home,
    source: configuration.Source,
    stop: threading.Event,
    network: typing.Optional[Network] = None,
) -> None:
    """Serve one configuration after the other until `stop` is set."""
    _clear_abandoned(home)
    homes.claim(home)
    agent = None
    while not stop.is_set():
        config = _wait(home, source, stop)
        if config is None:
            break
        if config.instance_id:
            if home.instance_id not in ("", config.instance_id):
                _clear(home)
            home.belongs_to(config.instance_id)
        agent = Agent(home=home, config=config, network=network)
        agent.begin()
        keeper = _keeper(agent, config)
        _follow(agent, source, stop, keeper)
        agent.shut_down()
        if keeper is not None and keeper.why:
            keeper.end(stop)
            return
        if agent.wrong_instance:
            agent.wipe()
            home.belongs_to("")
    if agent is None:
        _end(home)  # told to stop before it took up what an earlier one left


def _clear_abandoned(home: homes.Home) -> None:
    for left in homes.abandoned():
        say(f"clearing {left.base}, whose home was deleted")
        _clear(left)
        homes.release(left)
        if left.base != home.base:
            trees.remove(left.base)


def _wait(
    home: homes.Home, source: configuration.Source, stop: threading.Event
) -> typing.Optional[configuration.Config]:
    looks = 0
    while not stop.is_set():
        pulse.beat()
        config = source.read()
        if config is not None:
            return config
        looks += 1
        if looks == GONE_LOOKS and home.known():
            # It went while no agent was here to see it.
            _clear(home)
        if looks == 1:
            say("waiting for a configuration")
        stop.wait(WAIT_SECONDS)
    return None


def _keeper(agent: Agent, config: configuration.Config) -> typing.Optional[Keeper]:
    if config.machine is None:
        return None
    return Keeper(config.machine, agent.client, home=agent.home.root)


def _follow(
    agent: Agent,
    source: configuration.Source,
    stop: threading.Event,
    keeper: typing.Optional[Keeper],
) -> None:
    """Return when this agent has to end: told so, its file is gone, it is another's now, or nobody
    wants its machine any more."""
    missed = 0
    while not stop.wait(FOLLOW_SECONDS) and not agent.wrong_instance:
        agent.beat()
        if keeper is not None and keeper.keep():
            return
        config = source.read()
        missed = missed + 1 if config is None else 0
        if missed >= GONE_LOOKS:
            say("the configuration is gone: stopping everything")
            return
        if config is None or config == agent.client.config:
            continue
        if config.instance_id != agent.client.config.instance_id:
            say("the configuration names another instance: starting over")
            return
        say("the configuration changed: connecting anew")
        agent.connect_anew(config)


def _clear(home: homes.Home) -> None:
    """Stop and remove the workloads of an instance that is not ours any more."""
    _end(home).wipe()


def _end(home: homes.Home) -> Agent:
    """Stop what runs here and tell nobody; the next agent reports how it ended."""
    nobody = configuration.Config(url="", token="")
    agent = Agent(home=home, config=nobody)
    agent.load()
    agent.shut_down(tell=False)
    return agent
