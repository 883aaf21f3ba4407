# Sourced by bin/dev, bin/test and bin/check: which broker to use, and how to leave it as it was found.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
STARTED='' # what release_broker has to stop

say() { echo "warren: $*" >&2; }

container_engine() { docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; }
can_install() { [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; }

# Exports AMQP_URL and MANAGEMENT_URL. In this order: the one that was given, a private node, a container, a private
# node after an install.
ensure_broker() { # ensure_broker [SERIES]
  local series=${1:-system}
  if [[ -n ${AMQP_URL:-} ]]; then
    say "using the broker at AMQP_URL"
  elif bin/broker has "$series"; then
    start_private_node "$series"
  elif [[ $series == system ]] && container_engine; then
    start_container
  elif can_install; then
    start_private_node "$series"
  else
    say "there is no broker: install rabbitmq-server (or start Docker), or set AMQP_URL to one that runs"
    return 1
  fi
}

start_private_node() {
  local urls
  # One that somebody else started is left running.
  bin/broker list | grep "^$1 up " >/dev/null || STARTED="node $1"
  urls=$(bin/broker start "$1")
  export ${urls?}
  say "RabbitMQ $(bin/broker version "$1") runs at $AMQP_URL"
}

start_container() {
  say "starting RabbitMQ with docker compose"
  docker compose up --detach --wait rabbitmq >&2
  STARTED=container
  export AMQP_URL=amqp://guest:guest@127.0.0.1:${AMQP_PORT:-5672}
  export MANAGEMENT_URL=http://guest:guest@127.0.0.1:${MANAGEMENT_PORT:-15672}
}

release_broker() {
  case $STARTED in
  node*) bin/broker stop "${STARTED#node }" ;;
  container) docker compose stop rabbitmq >&2 ;;
  esac
  STARTED=''
}
