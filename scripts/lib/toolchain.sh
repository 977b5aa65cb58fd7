# Sourced by the scripts beside it: which Rust builds adit, and where it is.
# shellcheck shell=bash

rust_version=1.95.0

case :$PATH: in
  *:"${HOME:-/root}/.cargo/bin":*) ;;
  *) PATH=$PATH:${HOME:-/root}/.cargo/bin ;;
esac
export PATH

# The pin holds where rustup has that version; a newer cargo of the distribution is taken as it is.
for installed in "${RUSTUP_HOME:-${HOME:-/root}/.rustup}/toolchains/$rust_version"-*; do
  if [ -d "$installed" ]; then export RUSTUP_TOOLCHAIN=$rust_version; fi
done
unset installed

# Is version $1 at least version $2?
version_at_least() {
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

# Prints the version of the cargo that would build adit, or nothing.
cargo_version() {
  cargo --version 2>/dev/null | cut -d ' ' -f 2 | cut -d - -f 1
}
