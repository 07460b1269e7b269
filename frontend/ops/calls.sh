#!/usr/bin/env bash
# Writes the last part of each header in include/kiln that has the line "Made of the prototypes above": for each prototype kiln_NAME_at above it
# the macro kiln_NAME that programs write, which says where the call stands and takes numbers and variables as operands. Lists (kiln_operands, kiln_subscripts)
# and windows have macros by hand. check: only looks whether those parts are there as they would be written, and names the headers that are not so.
cd "$(dirname "$0")/../.." || exit 1
whole() # header
{
    sed '/^\/\* Made of the prototypes/q' "$1"
    sed -n '/^KILN_API.*,$/{N;s/\n */ /}
        s/^KILN_API kiln_[a-z]* \*\(kiln_[a-z0-9_]*\)_at(kiln_site at, \([^)]*\));.*/\1 \2/p' "$1" | grep -v 'kiln_operands\|kiln_subscripts\|\*const' |
        while read -r name params; do
            names='' values=''
            while read -r -d , type param; do
                param=${param##*[ *]}
                case $type in
                kiln_operand) value="KILN_OPERAND($param)" ;;
                kiln_shape | kiln_axes) value=$param ;;
                *) value="($param)" ;;
                esac
                names+=", $param" values+=", $value"
            done <<<"$params,"
            echo "#define $name(${names#, }) ${name}_at(KILN_HERE$values)"
        done
    printf '\n#endif\n'
}
wrong=0
for header in $(grep -l '^/\* Made of the prototypes' include/kiln/*.h); do
    if [ "${1:-}" = check ]; then
        whole "$header" | cmp -s - "$header" || { echo "$header"; wrong=1; }
    else
        whole "$header" >"$header.new" && mv "$header.new" "$header"
    fi
done
exit $wrong
