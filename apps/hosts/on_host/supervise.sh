#!/bin/sh
# Keeps the agent of dstack-web running where no systemd does it.
cd / || exit 1
umask 022
LOG=/var/log/dstack-agent.log
PID=/run/dstack-agent.pid
child=
over() {
    [ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child"
    rm -f "$PID"
    exit 0
}
trap over TERM INT
echo "$$" >"$PID"
: >"$LOG"
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
