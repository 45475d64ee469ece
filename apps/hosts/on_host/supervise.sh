#!/bin/sh
# Keeps the agent of dstack-web running where no systemd does it.
cd / || exit 1
umask 022
LOG=/var/log/dstack-agent.log
PID=/run/dstack-agent.pid
WAY=/opt/dstack-agent/way-home.sh
child=
way=
# Keeps the way to a server open that is called through a gateway.
keep_way() {
    link=
    trap 'kill "$link" 2>/dev/null; exit 0' TERM
    while :; do
        /bin/sh "$WAY" </dev/null >>"$LOG" 2>&1 &
        link=$!
        wait "$link"
        sleep 1 &
        link=$!
        wait "$link"
    done
}
over() {
    [ -n "$way" ] && kill -TERM "$way" 2>/dev/null
    [ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child"
    rm -f "$PID"
    exit 0
}
trap over TERM INT
echo "$$" >"$PID"
: >"$LOG"
if [ -f "$WAY" ]; then
    keep_way &
    way=$!
fi
while :; do
    /opt/dstack-agent/python /opt/dstack-agent/agent.pyz --home /var/lib/dstack \
        --config /etc/dstack-agent/config.json \
        --enrolment /etc/dstack-agent/enrolment.json </dev/null >>"$LOG" 2>&1 &
    child=$!
    wait "$child"
    sleep 3 &
    child=$!
    wait "$child"
done
