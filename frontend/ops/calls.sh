#!/usr/bin/env bash
# Writes the last part of include/kiln/ops.h: for each prototype kiln_NAME_at above it the macro kiln_NAME that programs write, which says where
# the call stands and takes numbers and variables as operands. Lists (kiln_operands) and windows have macros by hand. check: only looks
# whether that part is there as it would be written.
cd "$(dirname "$0")/../.." || exit 1
header=include/kiln/ops.h
whole()
{
    sed '/^\/\* Made of the prototypes/q' $header
    sed -n '/^KILN_API.*,$/{N;s/\n */ /}
        s/^KILN_API kiln_[a-z]* \*\(kiln_[a-z0-9_]*\)_at(kiln_site at, \([^)]*\));.*/\1 \2/p' $header | grep -v 'kiln_operands\|\*const' |
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
if [ "${1:-}" = check ]; then
    whole | cmp -s - $header
else
    whole >$header.new && mv $header.new $header
fi
