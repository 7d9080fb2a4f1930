/* standin.h — what vcr-standin says to the collector (files) and to vcr-replay (a socket); vcr-standin.c describes both. */
#ifndef VCR_STANDIN_H
#define VCR_STANDIN_H
#include <stdint.h>

enum { VCR_STANDIN_KEPT = 8 << 20 /* bytes of one program */, VCR_STANDIN_ASKED = 4 << 20 /* of its arguments */ };
struct vcr_standin_chunk { char what, zero[3]; uint32_t size; };
/* SERVE: it was asked in JSON-RPC (served.h). Then each line of its input is a question of its own, LINE, value in decimal, a NUL, the line, a NUL; likewise END, without a line. */
/* RUN: it was no tool. */
enum vcr_standin_how { VCR_STANDIN_EXIT, VCR_STANDIN_SIGNAL, VCR_STANDIN_SERVE, VCR_STANDIN_RUN };
enum { VCR_STANDIN_LINE = 1, VCR_STANDIN_END = 2 };
/* Then that many marks; bytes of output; and of error output. */
struct vcr_standin_answer { uint32_t how, value, out, error, marks; };
/* On a terminal: when so much of the output was there, so many bytes were typed. */
enum { VCR_STANDIN_MARKS = 256 };
struct vcr_standin_mark { uint32_t at, typed; };

#endif
