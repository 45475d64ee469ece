"""What one part of the product sets for another; a person who starts a part alone sets it too."""

from __future__ import annotations

from dstack_web.variables.variable import Kind, Part, Variable

SERVER, GATEWAY, AGENT = Part.SERVER, Part.GATEWAY, Part.AGENT

BETWEEN_PARTS = (
    Variable(
        name="DSTACK_BEHIND_FRONT",
        kind=Kind.SWITCH,
        default="0",
        parts=(SERVER,),
        says="The web server is reached by its own proxy alone.",
    ),
    Variable(
        name="DSTACK_LOCAL_URL",
        kind=Kind.URL,
        default_is="`DSTACK_AGENT_URL`",
        parts=(SERVER,),
        says="Where the agent of the server's own machine reaches the server.",
    ),
    Variable(
        name="DSTACK_DB_POOL",
        kind=Kind.WHOLE,
        default="8",
        most=1000,
        unit="connections",
        parts=(SERVER,),
        says="Most connections to the database of one process; 0: one for each request.",
    ),
    Variable(
        name="DSTACK_PULSE_FD",
        kind=Kind.WHOLE,
        default_is="none",
        parts=(SERVER, GATEWAY, AGENT),
        says="Number of the pipe by which a process says that it works.",
    ),
    Variable(
        name="DSTACK_GATEWAY_TOKEN",
        kind=Kind.SECRET,
        default_is="generated",
        parts=(SERVER, Part.COMPOSE),
        says="Token of the first gateway, written to the database at each start.",
    ),
    Variable(
        name="DSTACK_GATEWAY_TOKEN_FILE",
        kind=Kind.PATH,
        parts=(GATEWAY,),
        says="File that holds that token.",
    ),
    Variable(
        name="DSTACK_GATEWAY_CONTROL_URL",
        kind=Kind.URL,
        parts=(GATEWAY,),
        says="Where the gateway reaches the server.",
    ),
    Variable(
        name="DSTACK_GATEWAY_HOME",
        kind=Kind.PATH,
        parts=(GATEWAY,),
        says="Folder in which the gateway keeps its table and certificates.",
    ),
    Variable(
        name="DSTACK_GATEWAY_BIND",
        kind=Kind.LIST,
        default="127.0.0.1",
        parts=(GATEWAY,),
        says="Addresses on which the gateway listens.",
    ),
    Variable(
        name="DSTACK_GATEWAY_CONFIG",
        kind=Kind.PATH,
        parts=(GATEWAY,),
        says="JSON file with the gateway's settings, under those of the environment.",
    ),
    Variable(
        name="GATEWAY_BOOT",
        parts=(GATEWAY,),
        says="Beginning of the request ids that one HAProxy makes.",
    ),
    Variable(
        name="DSTACK_AGENT_HOME",
        kind=Kind.PATH,
        default="~/.dstack-agent",
        parts=(AGENT,),
        says="Folder of an agent that is started by itself.",
    ),
    Variable(
        name="DSTACK_AGENT_CONFIG",
        kind=Kind.PATH,
        parts=(AGENT,),
        says="JSON file with the server's address and the agent's token.",
    ),
    Variable(
        name="DSTACK_AGENT_TOKEN",
        kind=Kind.SECRET,
        parts=(AGENT,),
        says="The agent's token, where there is no such file.",
    ),
    Variable(
        name="DSTACK_AGENT_PUBLIC_PORTS",
        kind=Kind.LIST,
        parts=(AGENT,),
        says="Ports of the gateway of this machine, which replicas with a network of their own may "
        "call.",
    ),
)

# Written for services, and read by them alone.
FOR_SERVICES = tuple(
    Variable(name=name, parts=(Part.SERVICE,), says=says)
    for name, says in (
        ("DSTACK_HOST", "Address to listen on: 127.0.0.1 for a process, 0.0.0.0 in a container."),
        ("DSTACK_RUN_NAME", "Name of the run."),
        ("DSTACK_RUN_ID", "Id of the run."),
        ("DSTACK_REPLICA_NUM", "Number of the replica, the lowest that is free."),
        ("DSTACK_PROJECT", "Project of the run."),
        ("DSTACK_SERVICE_URL", "Where the service is called."),
        ("DSTACK_GPUS_NUM", "How many GPUs the replica has."),
    )
)
