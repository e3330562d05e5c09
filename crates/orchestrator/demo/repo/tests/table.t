. tests/helper.sh
. lib/table.sh

is 'a value stands two spaces after its name' 'name  value' "$(row name value)"
