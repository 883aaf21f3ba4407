# Sourced by bin/broker and bin/tools, which say and fail in their own names: fetching Debian's packages, as root.

# A mirror may fail for a moment, and another apt-get (of an image that is still setting itself up) may hold the locks.
fetching() { # fetching WHAT COMMAND…: the command with fresh lists of packages, until it succeeds, six times at most
  local round what=$1; shift
  for round in 1 2 3 4 5 6; do
    apt-get update -qq -o Acquire::Retries=5 >/dev/null || say "apt-get update failed; going on with what is known"
    "$@" && return
    say "fetching $what failed"
    ((round == 6)) || sleep $((round * 5))
  done
  return 1
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 "$@" >/dev/null
}

# A package's own service must not come up beside ours.
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  [[ -e $policy ]] && { "$@"; return; }
  printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
  "$@" || status=$?
  rm -f $policy
  return $status
}
