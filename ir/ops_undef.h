/* Ends an expansion of ops.def: what rows and their attributes expand to goes. */
#undef UNARY
#undef BINARY
#undef TERNARY
#undef OP
#undef INT
#undef INT_PAIR
#undef INT_TRIPLE
#undef DIM
#undef SCALAR
#undef DTYPE
#undef GRAPH
#undef INTS
#undef DIMS
#undef DIM_ROWS
#undef GRAPHS
#undef OPTION
#undef DTYPE_OPTION
