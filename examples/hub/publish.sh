#!/bin/sh
# Publishes an update with curl, and prints its id.
#
#   export SSEKIT_TOKEN=$(ssekit token make --key-file key --publish '*')
#   examples/hub/publish.sh https://example.com/news 'hello, world'
#   examples/hub/publish.sh https://example.com/news 'for some alone' --private
#
# HUB says where the hub is, unless on this machine. A refusal is printed with its reason; the exit code is curl's then, 22.
set -eu

hub=${HUB:-http://127.0.0.1:3000/.well-known/mercure}
: "${SSEKIT_TOKEN:?a token is needed: ssekit token make --key-file key --publish '*'}"
if [ $# -lt 2 ]; then
    echo "usage: $0 TOPIC DATA [--private]" >&2
    exit 2
fi
topic=$1
data=$2
shift 2
if [ "${1-}" = --private ]; then
    set -- --data private=on
fi

# The token goes by stdin: arguments can be read by everyone on this machine.
echo "Authorization: Bearer $SSEKIT_TOKEN" | curl --silent --show-error --fail-with-body --max-time 30 \
    --header @- --data-urlencode "topic=$topic" --data-urlencode "data=$data" "$@" "$hub"
echo
