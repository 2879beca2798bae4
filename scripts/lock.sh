#!/usr/bin/env bash
# Resolves the pinned requirements anew, with hashes, and the Node SDKs' lock; addresses of registries stay out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compile() {
  local output=requirements/$1
  shift
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes \
    --no-emit-index-url --no-strip-extras --custom-compile-command 'make lock' --output-file "$output" "$@"
}

# The development set first, which contains the others and so decides the versions.
compile dev.txt pyproject.toml --extra tpm --extra pkcs11 --group demo --group build --group dev
compile base.txt pyproject.toml --constraints requirements/dev.txt
compile demo.txt pyproject.toml --extra tpm --group demo --constraints requirements/dev.txt
compile build.txt --group build --constraints requirements/dev.txt

for folder in tests/conformance/node tests/conformance/azurite; do
  (cd "$folder" && npm update --package-lock-only --ignore-scripts --no-audit --no-fund --silent)
done

if grep -nE '"resolved"|https?://|^--' requirements/*.txt tests/conformance/*/package-lock.json |
  grep -vE '"(url|funding)"'; then
  echo 'lock: an address of a registry slipped in' >&2
  exit 1
fi
