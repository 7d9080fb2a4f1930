/* standin.h — what vcr-standin says to the collector (files) and to vcr-replay (a socket); vcr-standin.c describes both. */
#ifndef VCR_STANDIN_H
#define VCR_STANDIN_H
#include <stdint.h>

enum { VCR_STANDIN_KEPT = 8 << 20 /* bytes of one program */, VCR_STANDIN_ASKED = 4 << 20 /* of its arguments */ };
struct vcr_standin_chunk { char what, zero[3]; uint32_t size; };
/* SERVE: it was asked in JSON-RPC (served.h). Then each line of its input is a question of its own, LINE, value in decimal, a NUL, the line, a NUL; likewise END, without a line. */
/* RUN: it was no tool. A question of a process that has not spoken to a model begins with EARLY, what the library does not see of the program's own programs (go, static, musl,
 * harmed, or nothing), a NUL, the program's file, a NUL. */
enum vcr_standin_how { VCR_STANDIN_EXIT, VCR_STANDIN_SIGNAL, VCR_STANDIN_SERVE, VCR_STANDIN_RUN };
enum { VCR_STANDIN_LINE = 1, VCR_STANDIN_END = 2, VCR_STANDIN_EARLY = 3 };
/* Then that many marks; bytes of output; and of error output. */
struct vcr_standin_answer { uint32_t how, value, out, error, marks; };
/* To the socket beside that one (VCR_STANDIN_WATCHED behind its name), a datagram: a program is about to begin of whose tools the library sees nothing. With it go a descriptor that is
 * closed when it may begin, and the listener of a filter that it is under (notify.h), or `why` there is none. number: by which it was lent the gate; 0: by none. */
#define VCR_STANDIN_WATCHED ".w"
struct vcr_standin_watched { int32_t number; uint32_t busy /* somebody's filter is why: it is under ours already, if there is one */; char program[400], why[500]; };
/* On a terminal: when so much of the output was there, so many bytes were typed. */
enum { VCR_STANDIN_MARKS = 256 };
struct vcr_standin_mark { uint32_t at, typed; };

#endif
