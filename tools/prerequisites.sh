# Sourced by ./run and ./test: finds cargo, and installs the other prerequisites or prints the command to install them.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "error: $1"
    shift
    local line
    for line in "$@"; do say "  $line"; done
    exit 3
}

# Finds cargo in its usual locations too, because HOME may be empty or belong to another user.
find_cargo() {
    local directory account_home
    account_home=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6 || true)
    if ! command -v cargo >/dev/null 2>&1; then
        for directory in "${CARGO_HOME:-/nonexistent}/bin" "${HOME:-/nonexistent}/.cargo/bin" \
            "${account_home:-/nonexistent}/.cargo/bin" /usr/local/cargo/bin /opt/homebrew/bin; do
            if [[ -x $directory/cargo ]]; then PATH=$directory:$PATH && break; fi
        done
    fi
    command -v cargo >/dev/null 2>&1 || fail "cargo was not found" \
        "install a Rust toolchain (https://rustup.rs), or add the directory of cargo to PATH, then run this again"

    # rustup's cargo looks for its toolchains under HOME.
    local cargo_home
    cargo_home=$(dirname "$(dirname "$(command -v cargo)")")
    if [[ -z ${RUSTUP_HOME:-} && -z $(ls -A "${HOME:-/nonexistent}/.rustup/toolchains" 2>/dev/null) ]]; then
        for directory in "$(dirname "$cargo_home")/.rustup" "$(dirname "$cargo_home")/rustup" \
            "${account_home:-/nonexistent}/.rustup"; do
            if [[ -d $directory/toolchains ]]; then export RUSTUP_HOME=$directory && break; fi
        done
    fi
    # Downloads go beside cargo if that is writable; otherwise cargo creates a directory under HOME.
    if [[ -z ${CARGO_HOME:-} && ! -d ${HOME:-/nonexistent}/.cargo && -w $cargo_home/registry ]]; then
        export CARGO_HOME=$cargo_home
    fi
    if [[ -z ${HOME:-} && -z ${CARGO_HOME:-} ]]; then
        fail "HOME is not set and cargo has nowhere to keep its downloads" "set HOME or CARGO_HOME, then run this again"
    fi
    # Outside the repository, which pins a toolchain: use_toolchain checks that one.
    (cd / && cargo --version) >/dev/null 2>&1 || fail "cargo does not start: $(cd / && cargo --version 2>&1 | head -n 1)" \
        "if rustup misses its toolchain, set RUSTUP_HOME or run: rustup toolchain install stable"
}

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
pinned_rust() { sed -n 's/^channel = "\(.*\)"$/\1/p' "$repository/rust-toolchain.toml"; }
least_rust() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$repository/Cargo.toml"; }
# The version of the default compiler, or of a rustup toolchain, without downloading one.
rust_version() {
    local command=(rustc)
    if (($# > 0)); then command=(rustup run "$1" rustc); fi
    { (cd / && "${command[@]}" --version 2>/dev/null) || true; } | sed -n 's/^rustc \([^ ]*\) .*/\1/p'
}
# Whether a version is this one or newer; nightly versions are not.
at_least() { [[ $1 =~ ^[0-9.]+$ && $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }

# Makes sure that cargo starts in the repository. rustup downloads the version in rust-toolchain.toml; if it can't, an installed
# toolchain that is new enough is used. Call it only where its RUSTUP_TOOLCHAIN is wanted, because that also overrides the
# toolchain files of other repositories.
use_toolchain() {
    local pinned least name version best=0
    pinned=$(pinned_rust) least=$(least_rust)
    if [[ -n ${RUSTUP_TOOLCHAIN:-} ]]; then return; fi
    if ! command -v rustup >/dev/null 2>&1; then
        version=$(rust_version)
        at_least "$version" "$least" ||
            fail "rustc is ${version:-missing}, and $least or newer is needed" "install it with https://rustup.rs"
        return
    fi
    if rustup toolchain list 2>/dev/null | grep -q "^$pinned\b"; then return; fi
    while read -r name _; do
        version=$(rust_version "$name")
        if [[ $version == "$pinned" ]]; then export RUSTUP_TOOLCHAIN=$name && return; fi
        if at_least "$version" "$least" && at_least "$version" "$best"; then best=$version RUSTUP_TOOLCHAIN=$name; fi
    done < <(rustup toolchain list 2>/dev/null)
    say "Rust $pinned is not installed; installing it"
    if rustup toolchain install "$pinned" --profile minimal --component rustfmt --component clippy >/dev/null 2>&1; then
        unset RUSTUP_TOOLCHAIN
    elif [[ -n ${RUSTUP_TOOLCHAIN:-} ]]; then
        say "note: Rust $pinned can't be installed; using $RUSTUP_TOOLCHAIN ($best)"
        export RUSTUP_TOOLCHAIN
    else
        fail "Rust $pinned can't be installed, and no toolchain here is $least or newer" "rustup toolchain install $pinned"
    fi
}

has_postgres() {
    local directory
    for directory in "${ORCHESTRATOR_PG_BIN:-/nonexistent}" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
        /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin "$(dirname "$(command -v initdb || echo /nonexistent/x)")"; do
        if [[ -x $directory/initdb && -x $directory/postgres && -x $directory/pg_ctl ]]; then return 0; fi
    done
    return 1
}

has_git() {
    local version major minor
    command -v git >/dev/null 2>&1 || return 1
    version=$(git --version | grep -oE '[0-9]+\.[0-9]+' | head -n 1)
    major=${version%%.*} minor=${version##*.}
    ((major > 2 || (major == 2 && minor >= 38)))
}

has() {
    case $1 in
        postgres) has_postgres ;;
        git) has_git ;;
        bubblewrap) [[ $(uname -s) != Linux ]] || command -v bwrap >/dev/null 2>&1 ;;
        promtool) command -v promtool >/dev/null 2>&1 ;;
        # Only the tests need these.
        strace | faketime) [[ $(uname -s) != Linux ]] || command -v "$1" >/dev/null 2>&1 ;;
        compiler) command -v cc >/dev/null 2>&1 ;;
    esac
}

package() {
    case $1:$2 in
        apt-get:postgres) echo postgresql ;;
        dnf:postgres) echo postgresql-server ;;
        pacman:postgres) echo postgresql ;;
        brew:postgres) echo postgresql@17 ;;
        *:git) echo git ;;
        *:bubblewrap) echo bubblewrap ;;
        *:strace) echo strace ;;
        pacman:faketime | dnf:faketime) echo libfaketime ;;
        *:faketime) echo faketime ;;
        dnf:promtool) echo golang-github-prometheus ;;
        *:promtool) echo prometheus ;;
        apt-get:compiler) echo build-essential ;;
        *:compiler) echo gcc ;;
    esac
}

package_manager() {
    local name
    for name in apt-get dnf pacman brew; do
        if command -v "$name" >/dev/null 2>&1; then echo "$name" && return; fi
    done
    echo none
}

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi
}

install_packages() {
    local manager=$1
    shift
    case $manager in
        apt-get)
            as_root apt-get update -qq >/dev/null
            # Install the server programs without creating a system database.
            local without_cluster=/etc/postgresql-common/createcluster.d/agent-orchestrator.conf status=0
            if [[ " $* " == *" postgresql "* ]]; then
                as_root mkdir -p "$(dirname "$without_cluster")"
                echo 'create_main_cluster = false' | as_root tee "$without_cluster" >/dev/null
            fi
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || status=$?
            as_root rm -f "$without_cluster"
            return $status
            ;;
        dnf) as_root dnf install -y -q "$@" ;;
        pacman) as_root pacman -Sy --noconfirm --needed "$@" ;;
        brew) brew install --quiet "$@" ;;
        *) return 1 ;;
    esac
}

# Usage: need NAME…: installs what is missing, or fails with the command to install it.
need() {
    local manager missing=() packages=() name command
    manager=$(package_manager)
    for name in "$@"; do
        if ! has "$name"; then missing+=("$name") && packages+=("$(package "$manager" "$name")"); fi
    done
    if ((${#missing[@]} == 0)); then return; fi

    case $manager in
        apt-get) command="sudo apt-get install -y ${packages[*]}" ;;
        dnf) command="sudo dnf install -y ${packages[*]}" ;;
        pacman) command="sudo pacman -S --needed ${packages[*]}" ;;
        brew) command="brew install ${packages[*]}" ;;
        *) command="install with your package manager: ${missing[*]}" ;;
    esac
    if [[ $manager != brew && $(id -u) != 0 ]] && ! sudo -n true >/dev/null 2>&1; then
        fail "${missing[*]}: not installed, and this account can't install them" "$command" "then run this again"
    fi
    say "missing: ${missing[*]}; installing ${packages[*]}"
    install_packages "$manager" "${packages[@]}" || fail "$manager could not install ${packages[*]}" "$command"
    hash -r
    for name in "${missing[@]}"; do
        has "$name" && continue
        if [[ $name == git ]]; then
            fail "git is $(git --version | grep -oE '[0-9.]+' | head -n 1), and 2.38 or newer is needed" \
                "on Ubuntu: sudo add-apt-repository ppa:git-core/ppa && sudo apt-get install -y git"
        fi
        fail "$name is still missing after installing ${packages[*]}" "install it by hand, then run this again"
    done
}
