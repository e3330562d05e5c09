# What every test uses. Tests run at the root of the repository.

report() {
    sh bin/report "$@" 2>&1
}

# is NAME EXPECTED FOUND: one test.
is() {
    if [ "$2" = "$3" ]; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        echo "expected: $2"
        echo "found:    $3"
    fi
}
