# Every command on a line of its own: its name, then what it prints.
commands() {
    cat <<'END'
lines    how many lines the text has
words    how many words the text has
END
}
