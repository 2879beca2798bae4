#!/usr/bin/env bash
# Sets up what `make demo` or `make test` needs, on a bare Debian 12 as root or as a user with sudo.
#
#   scripts/setup.sh demo|test
#
# Each step keeps a fingerprint of its inputs in .setup/ and is skipped while the fingerprint holds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PROFILE=${1:?usage: setup.sh demo|test}
readonly VENV=.venv
readonly OLDEST_PYTHON=3.11 OLDEST_NODE=18

# tpm2-pytss is built from source against the tpm2-tss headers; swtpm is the TPM it talks to.
DEMO_PACKAGES=(swtpm libtss2-dev build-essential pkg-config ca-certificates)
# The databases, brokers and browsers that the tests and the benchmark use as yardsticks; iproute2 raises
# the loopback interface of the tests' own network; qpid-proton is the other end of AMQP, softhsm2 of PKCS#11,
# nats-server between several processes.
TEST_PACKAGES=(postgresql mosquitto mosquitto-clients openssl iproute2 chromium python3-qpid-proton softhsm2
  nats-server)
# uamqp, below Microsoft's service client, has wheels for this architecture only.
[[ $(uname -m) == x86_64 ]] || TEST_PACKAGES+=(cmake libssl-dev)

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# --- what is there already -------------------------------------------------------------------------------

fingerprint() { sha256sum "$@" | sha256sum | cut -d' ' -f1; }
holds() { [[ -f .setup/$1 && $(<".setup/$1") == "$2" ]]; }
keep() { printf '%s\n' "$2" >".setup/$1"; }

# A Python that can make virtual environments and compile extensions; distributions split both off.
usable_python() {
  local python
  for python in python3.11 /usr/bin/python3.11 python3.12 python3.13 python3.14 python3; do
    python=$(command -v "$python") || continue
    if "$python" - "$OLDEST_PYTHON" >/dev/null 2>&1 <<'PYTHON'
import ensurepip, os, sys, sysconfig, venv
assert sys.version_info >= tuple(map(int, sys.argv[1].split(".")))
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
PYTHON
    then
      printf '%s\n' "$python"
      return
    fi
  done
  return 1
}

usable_node() {
  command -v npm >/dev/null && command -v node >/dev/null &&
    node -e "process.exit(parseInt(process.versions.node) >= $OLDEST_NODE ? 0 : 1)"
}

# The packages of "$@" that are not installed, one to a line.
missing_packages() {
  comm -13 <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort -u) \
    <(printf '%s\n' "$@" | sort -u)
}

# --- Debian packages -------------------------------------------------------------------------------------

as_root() {
  if [[ $EUID == 0 ]]; then "$@"; else sudo "$@"; fi
}

install_packages() {
  local wanted=("${DEMO_PACKAGES[@]}") missing
  [[ $PROFILE == demo ]] || wanted+=("${TEST_PACKAGES[@]}")
  # A virtual environment in place has served already; only the first one needs Debian's modules.
  [[ -x $VENV/bin/python ]] || usable_python >/dev/null || wanted+=(python3-venv python3-dev)
  [[ $PROFILE == demo ]] || usable_node || wanted+=(nodejs npm)

  command -v dpkg-query >/dev/null || die "this is not Debian; install the equivalents of: ${wanted[*]}"
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  ((${#missing[@]})) || return 0
  [[ $EUID == 0 ]] || command -v sudo >/dev/null ||
    die "neither root nor sudo; let an administrator run: apt-get install ${missing[*]}"
  say "Debian packages: ${missing[*]}"
  local log=.setup/apt.log
  if ! {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o Dpkg::Use-Pty=0 install "${missing[@]}"
  } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt-get failed; all it said is in $log"
  fi
}

# --- Python ----------------------------------------------------------------------------------------------

make_environment() {
  # A moved folder or an upgraded interpreter leaves an environment that does not start.
  if [[ -x $VENV/bin/python ]] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    return
  fi
  local python
  python=$(usable_python) || die "no Python $OLDEST_PYTHON or newer with venv and headers was found"
  say "virtual environment by $("$python" -V)"
  "$python" -m venv --clear "$VENV"
  rm -f .setup/python-*
}

pip_install() {
  "$VENV/bin/python" -m pip --disable-pip-version-check --quiet install --no-input "$@"
}

install_requirements() {
  local file=requirements/$PROFILE.txt print
  [[ $PROFILE == demo ]] || file=requirements/dev.txt
  print=$(fingerprint requirements/build.txt "$file")
  # The development set contains the demo's.
  if ! holds "python-$PROFILE" "$print"; then
    say "Python packages of $file"
    pip_install --require-hashes -r requirements/build.txt
    # The pinned build tools above serve the packages that come as source, instead of whatever is newest today.
    pip_install --require-hashes --no-build-isolation --use-pep517 -r "$file"
    keep "python-$PROFILE" "$print"
  fi
  print=$(fingerprint pyproject.toml)
  if ! holds python-homeport "$print"; then
    pip_install --no-deps --no-build-isolation --editable .
    keep python-homeport "$print"
  fi
}

# --- Node ------------------------------------------------------------------------------------------------

install_node_packages() {
  local name=$1 folder=tests/conformance/$1 print
  print=$(fingerprint "$folder/package.json" "$folder/package-lock.json")
  if holds "$name" "$print" && [[ -d $folder/node_modules ]]; then
    return
  fi
  say "$2"
  # Quiet, since the packages' own deprecation warnings are not news; a failure is repeated aloud.
  if ! (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund) >.setup/npm.log 2>&1; then
    tail -n 20 .setup/npm.log >&2
    die "npm failed; all it said is in .setup/npm.log"
  fi
  keep "$name" "$print"
}

# --- in order --------------------------------------------------------------------------------------------

case $PROFILE in demo | test) ;; *) die "unknown profile $PROFILE" ;; esac
mkdir -p .setup
# Two makes at once wait for each other instead of writing into one environment.
exec {lock}>.setup/lock
flock "$lock"
install_packages
make_environment
install_requirements
[[ $PROFILE == demo ]] || install_node_packages node "Microsoft's Node SDKs"
[[ $PROFILE == demo ]] || install_node_packages azurite "Microsoft's emulator of blob storage"
