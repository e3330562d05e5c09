#!/bin/sh
# Runs every tests/*.t and prints TAP. Fails if a test fails, or if there is none.
set -u
cd "$(dirname "$0")" || exit 1

count=0
failed=0
for file in tests/*.t; do
    echo "# $file"
    output=$(sh "$file" 2>&1)
    status=$?
    if [ "$status" -ne 0 ]; then
        output="$output
not ok - $file ended with status $status"
    fi
    while IFS= read -r line; do
        case $line in
        'ok - '*)
            count=$((count + 1))
            echo "ok $count - ${line#ok - }"
            ;;
        'not ok - '*)
            count=$((count + 1))
            failed=$((failed + 1))
            echo "not ok $count - ${line#not ok - }"
            ;;
        ?*) echo "# $line" ;;
        esac
    done <<END
$output
END
done

echo "1..$count"
echo "# $failed of $count failed"
[ "$count" -gt 0 ] && [ "$failed" -eq 0 ]
