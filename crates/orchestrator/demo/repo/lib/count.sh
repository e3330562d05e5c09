# Commands that count.

report_lines() {
    row lines "$(wc -l <"$1" | tr -d ' ')"
}

report_words() {
    row words "$(wc -w <"$1" | tr -d ' ')"
}
