# How facts are printed.

# row NAME VALUE: one fact, the value two spaces after its name.
row() {
    printf '%s  %s\n' "$1" "$2"
}
