. tests/helper.sh

is 'lines are counted' 'lines  5' "$(report lines tests/poem.txt)"
is 'words are counted' 'words  17' "$(report words tests/poem.txt)"
is 'an unknown command shows the usage' 'usage: report COMMAND FILE' "$(report sing tests/poem.txt | head -n 1)"
is 'a missing file is named' 'report: cannot read no/such/file' "$(report lines no/such/file)"
