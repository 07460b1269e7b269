/* scalar_undef: forgets what scalar_tok.h, scalar_paste.h or grad_tok.h defined. The names of primitives stay, and mean nothing
 * without SPELL. No include guard. */
#undef SPELL
#undef X
#undef Y
#undef Z
#undef C
#undef K
#undef V
#undef FN
#undef BITS
#undef FLOATBITS
#undef CVT
#undef CAST
#undef G
#undef R
#undef NONE
#undef WRAP_
#undef OF_FLOAT_
#undef OF_INT_
#undef OF_NUMBER_
#undef OF_BITS_
#undef SCALAR_MAD
#undef SCALAR_RARE
#undef SCALAR_OWN
#undef SCALAR_FN
