#!/usr/bin/env bash
# Runs a command that may listen on ports below 1024: the official SDKs fix 443, and not everybody is root.
#
#   scripts/low-ports.sh [--own-network] COMMAND [ARGUMENT…]
#
# With --own-network the command sees only a loopback interface of its own where the system allows that, so that
# it clashes with no other server. Where the right cannot be had the command runs all the same, and says itself what it lacks.
set -euo pipefail

readonly ONLY_PORTS='-all,+net_bind_service'
own_network=
if [[ ${1:-} == --own-network ]]; then
  own_network=yes
  shift
fi

in_own_network() {
  if [[ $EUID == 0 ]]; then
    exec unshare --net bash -c 'ip link set lo up && exec "$@"' bash "$@"
  fi
  # All capabilities inside the new user namespace, for as long as it takes to raise the interface.
  # shellcheck disable=SC2016 # the inner shell expands these
  exec unshare --user --net --map-current-user --keep-caps bash -c \
    'ip link set lo up && exec setpriv --inh-caps="$0" --ambient-caps="$0" -- "$@"' "$ONLY_PORTS" "$@"
}

# A container may forbid new namespaces, even to root.
if [[ $own_network ]] && (in_own_network true) 2>/dev/null; then
  in_own_network "$@"
fi
if [[ $EUID == 0 ]] || (($(</proc/sys/net/ipv4/ip_unprivileged_port_start) <= 443)) || ! command -v sudo >/dev/null; then
  exec "$@"
fi
# As the same user with the same surroundings, plus this one capability.
exec sudo --preserve-env setpriv --reuid="$(id -u)" --regid="$(id -g)" --init-groups \
  --inh-caps="$ONLY_PORTS" --ambient-caps="$ONLY_PORTS" -- env HOME="$HOME" PATH="$PATH" "$@"
