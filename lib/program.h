/* program.h — what can be known of a program's file before it runs: whether the library can enter it, and where its TLS is.
 *
 * The kernel's steps are followed (execve(2)): "#!" lines to their interpreter, then the ELF header, program headers, dynamic section and the GNU hash
 * table of its exports (elf(5), System V gABI). Nothing is executed and nothing is mapped: a file that changes meanwhile costs a wrong answer, no
 * signal. Every read is bounded, whatever the file says. shim/elf.c decides the same when a program starts another; tests compare both. */
#ifndef VCR_PROGRAM_H
#define VCR_PROGRAM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

/* X(name, its word in a session, what it means for a person) */
#define VCR_PROGRAM_KINDS(X) \
	X(TAKES, "hooked", "the library goes in") \
	X(GO, "go", "Go: the library goes in, but its network and files do not pass the C library") \
	X(STATIC, "static", "static: no dynamic linker, no library goes in") \
	X(MUSL, "musl", "of another C library (musl)") \
	X(FOREIGN, "foreign", "for another machine or word size") \
	X(ASAN, "asan", "linked to AddressSanitizer, which has to come first") \
	X(SETID, "setid", "set-user-ID or set-group-ID: the system takes preloads away") \
	X(UNKNOWN, "unknown", "no program, or not readable")
enum vcr_program_kind {
#define X(name, word, line) VCR_PROGRAM_##name,
	VCR_PROGRAM_KINDS(X)
#undef X
};
const char *vcr_program_kind_word(enum vcr_program_kind k);
const char *vcr_program_kind_line(enum vcr_program_kind k);

enum vcr_program_tls {
	VCR_TLS_LOADED,   /* none of its own: if it speaks TLS, by a library that it loads, which is usually the system's OpenSSL */
	VCR_TLS_SHARED,   /* needs libssl.so */
	VCR_TLS_EXPORTED, /* OpenSSL is inside it and exported, as in node */
	VCR_TLS_OTHER,    /* needs GnuTLS, NSS, mbedTLS … and no OpenSSL */
	VCR_TLS_OWN,      /* it is known to carry its own, where nothing can be hooked: Bun, Go, Python builds with OpenSSL inside */
};

enum { VCR_PROGRAM_PATH = 4096, VCR_PROGRAM_STEPS = 4, VCR_PROGRAM_FUNCTION = 4096 };
struct vcr_program {
	enum vcr_program_kind kind;
	enum vcr_program_tls tls;
	char path[VCR_PROGRAM_PATH];     /* the file that the kernel runs in the end */
	char words[VCR_PROGRAM_STEPS][256]; /* what stands on each "#!" line, from the first script on */
	int steps;                       /* how many of them */
	char loader[256];                /* PT_INTERP; "" none */
	char library[64];                /* the TLS library that it needs; "" none */
	bool napi;                       /* runs JavaScript with node's interface: node, Bun */
	int machine, bits;               /* e_machine, 32 or 64; 0 no ELF */
};
/* Never fails: what cannot be read is VCR_PROGRAM_UNKNOWN. */
void vcr_program_look(const char *path, struct vcr_program *out);
/* The file that execvp(3) would run for a command, as seen from directory dir (NULL: the current one). False: there is none. */
bool vcr_program_find(const char *command, const char *dir, char path[VCR_PROGRAM_PATH]);
/* The code of a function that the program exports, as far as it fits: its bytes and address. 0 if it exports none of that name. */
size_t vcr_program_function(const struct vcr_program *p, const char *name, unsigned char code[VCR_PROGRAM_FUNCTION], uint64_t *at);

#endif
