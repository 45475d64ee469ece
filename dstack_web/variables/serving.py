"""Where the server and its gateway listen, how they are called, and what they prove it with."""

from __future__ import annotations

from dstack_web.variables.variable import Kind, Part, Variable

START, SERVER, FRONT, GATEWAY = Part.START, Part.SERVER, Part.FRONT, Part.GATEWAY
COMPOSE = Part.COMPOSE
LAST_PORT = 65535

ADDRESSES = (
    Variable(
        name="DSTACK_BIND",
        default="127.0.0.1",
        parts=(START, SERVER, COMPOSE),
        says="Address on which the dashboard and the gateway listen.",
    ),
    Variable(
        name="DSTACK_PORT",
        kind=Kind.WHOLE,
        default="3000",
        least=1,
        most=LAST_PORT,
        parts=(START, SERVER, COMPOSE),
        says="Port of the dashboard and the API.",
    ),
    Variable(
        name="DSTACK_PUBLIC_URL",
        kind=Kind.URL,
        default_is="`http://127.0.0.1` and the port",
        parts=(START, SERVER, COMPOSE),
        says="Where people and agents reach the server.",
    ),
    Variable(
        name="DSTACK_ALLOWED_HOSTS",
        kind=Kind.LIST,
        parts=(SERVER,),
        says="More host names by which the server may be called, beside the public one and those "
        "of loopback.",
    ),
    Variable(
        name="DSTACK_AGENT_URL",
        kind=Kind.URL,
        default_is="the server on loopback",
        parts=(START, SERVER),
        says="Where agents of other machines reach the server. Where it is an address of loopback, "
        "those of machines of clouds call `DSTACK_PUBLIC_URL`.",
    ),
    Variable(
        name="DSTACK_AGENT_CA",
        kind=Kind.PATH,
        default_is="those that a machine trusts anyway",
        parts=(SERVER, COMPOSE),
        says="File with the authority that signed the certificate of that address, where it is a "
        "private one: machines then trust that one alone, see "
        "[Tunnels](/docs/tunnels/#a-private-authority).",
    ),
    Variable(
        name="DSTACK_TRUSTED_PROXIES",
        kind=Kind.NETWORKS,
        parts=(SERVER, FRONT, COMPOSE),
        says="Proxies before the server: only their `X-Forwarded-For` is believed, and only they "
        "may have any number of connections.",
    ),
    Variable(
        name="DSTACK_CONNECTIONS_PER_ADDRESS",
        kind=Kind.WHOLE,
        default_is="three fifths of all",
        least=1,
        most=1_000_000,
        unit="connections",
        parts=(FRONT, COMPOSE),
        says="How many connections to the dashboard and the API one address may have, see "
        "[Many callers](/docs/running/#many-callers).",
    ),
)

GATEWAY_ROWS = (
    Variable(
        name="DSTACK_GATEWAY_PORT",
        kind=Kind.WHOLE,
        default="8080",
        least=1,
        most=LAST_PORT,
        parts=(START, SERVER, GATEWAY, COMPOSE),
        says="Port on which services are called.",
    ),
    Variable(
        name="DSTACK_GATEWAY_DOMAIN",
        default="localhost",
        parts=(START, SERVER, COMPOSE),
        says="Services are published below this name.",
    ),
    Variable(
        name="DSTACK_GATEWAY_URL",
        kind=Kind.URL,
        default_is="`http://`, the address that it listens on, and the port",
        parts=(SERVER,),
        says="Where this server itself calls its gateway, for the chats of the "
        "[playground](/docs/endpoints/#playground).",
    ),
    Variable(
        name="DSTACK_GATEWAY_HOSTS",
        kind=Kind.LIST,
        parts=(START, GATEWAY, COMPOSE),
        says="More names and addresses of the gateway itself, with commas or spaces between them.",
    ),
    Variable(
        name="DSTACK_GATEWAY_SCHEME",
        kind=Kind.CHOICE,
        default="http",
        choices=("http", "https"),
        parts=(SERVER,),
        says="`https` where something before a gateway without TLS of its own speaks it.",
    ),
    Variable(
        name="DSTACK_GATEWAY_TLS_PORT",
        kind=Kind.WHOLE,
        default="0",
        default_is="off",
        most=LAST_PORT,
        parts=(START, SERVER, GATEWAY, COMPOSE),
        says="Services by https too, on this port, see [TLS](/docs/tls/); 0 is off.",
    ),
    Variable(
        name="DSTACK_GATEWAY_SSH_PORT",
        kind=Kind.WHOLE,
        default="0",
        default_is="2222 where machines can come in, else off",
        most=LAST_PORT,
        parts=(START, SERVER, GATEWAY, COMPOSE),
        says="Machines that the gateway cannot dial open tunnels to it on this port, see "
        "[Tunnels](/docs/tunnels/); 0 is off. It may be the port of TLS.",
    ),
    Variable(
        name="DSTACK_GATEWAY_MACHINES_SHARE_PORT",
        kind=Kind.SWITCH,
        default="0",
        parts=(SERVER,),
        says="Gateways on machines made from now on take tunnels on port 443 beside TLS instead of "
        "2222, see [One port for tunnels and TLS](/docs/tunnels/#one-port-for-tunnels-and-tls).",
    ),
    Variable(
        name="DSTACK_GATEWAY_ACME_URL",
        kind=Kind.URL,
        default_is="off; Let's Encrypt for gateways on machines",
        parts=(GATEWAY, COMPOSE, SERVER),
        says="Directory of the ACME server that gives certificates; to set it is to agree to "
        "its terms.",
    ),
    Variable(
        name="DSTACK_GATEWAY_ACME_EMAIL",
        parts=(GATEWAY, COMPOSE, SERVER),
        says="Whom the ACME server may write to.",
    ),
    Variable(
        name="DSTACK_GATEWAY_ACME_CA",
        kind=Kind.PATH,
        parts=(GATEWAY, COMPOSE, SERVER),
        says="File with the authority to trust where the ACME server is a private one.",
    ),
    Variable(
        name="DSTACK_GATEWAY_DNS_HOOK",
        kind=Kind.PATH,
        default_is="off",
        parts=(GATEWAY, COMPOSE, SERVER),
        says="Program that writes records of the DNS, for one wildcard certificate of all "
        "services, see [TLS](/docs/tls/). The server runs it for gateways on machines.",
    ),
    Variable(
        name="DSTACK_GATEWAY_DNS_SECONDS",
        kind=Kind.WHOLE,
        default="60",
        most=3600,
        parts=(GATEWAY, COMPOSE, SERVER),
        says="How long a record that the program wrote takes until it is seen everywhere.",
    ),
    Variable(
        name="DSTACK_GATEWAY_CONTROL_CA",
        kind=Kind.PATH,
        default_is="those that the host trusts",
        parts=(GATEWAY,),
        says="File with the authority that signed the server's certificate, where it is a private "
        "one: no other is trusted then. A gateway on a machine gets that of `DSTACK_AGENT_CA`.",
    ),
    Variable(
        name="DSTACK_GATEWAY_SLOTS",
        kind=Kind.WHOLE,
        default="5000",
        least=1,
        most=50_000,
        parts=(GATEWAY,),
        says="Room for so many services in the gateway's HAProxy.",
    ),
    Variable(
        name="DSTACK_GATEWAY_THREADS",
        kind=Kind.WHOLE,
        default="0",
        default_is="one a core, four at most",
        most=64,
        parts=(GATEWAY,),
        says="Threads of the gateway's HAProxy; 0 is the default.",
    ),
    Variable(
        name="DSTACK_HAPROXY",
        kind=Kind.PATH,
        default_is="the one of the package, else of `PATH`",
        parts=(GATEWAY, FRONT),
        says="The HAProxy program of the gateway and of the proxy before the web server.",
    ),
    Variable(
        name="DSTACK_HUB_URL",
        kind=Kind.URL,
        default="https://huggingface.co",
        parts=(SERVER,),
        says="Where the chat templates of TGI models are read.",
    ),
)
