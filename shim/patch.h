/* patch.h — a jump at the beginning of a function of the program, and the way to the function that is left.
 *
 * For OpenSSL that is linked into an executable (node) and so reached by direct calls that no symbol look-up sees. The first instructions
 * of the function are decoded, as many as the jump covers; they are written anew into a *slot* near the function, followed by a jump back to
 * the rest. The slot also holds the jump to the hook, which may be far away.
 *
 *     function:  jmp slot            (was: push %rbp; mov %rsp,%rbp; push %r15 …)
 *     slot:      jmp hook            VCR_PATCH_ENTRY bytes
 *                push %rbp; mov %rsp,%rbp; push %r15; jmp function+6
 *
 * These are pure functions from bytes to bytes: they touch neither the function nor the slot, allocate nothing, and work on any machine. They refuse
 * whatever they do not understand rather than guess: an unknown instruction, one whose meaning depends on its place and cannot be mended, a
 * function that ends too early, a branch of the function back into what the jump covers. Rules: Intel SDM vol. 2, chapter 2 and appendix A; Arm
 * ARM DDI 0487, C4.1. */
#ifndef VCR_SHIM_PATCH_H
#define VCR_SHIM_PATCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	VCR_PATCH_SLOT = 128,  /* bytes of a slot, and the most that `code` can need */
	VCR_PATCH_ENTRY = 16,  /* offset in the slot of the way to the function as it was */
};

struct vcr_patch_site {
	const unsigned char *code; /* the function's bytes */
	size_t size;               /* all of them */
	uint64_t at, slot, hook;   /* addresses of function, slot (multiple of 16) and hook */
};

struct vcr_patch {
	size_t at;                 /* where in the function the jump goes */
	size_t jump_size;
	unsigned char jump[8];
	size_t code_size;
	unsigned char code[VCR_PATCH_SLOT];
	const char *refused;       /* words that follow the function's name; NULL: it can be done */
};

/* *out for a function of x86-64. False: out->refused says why. The slot has to be within 2 GB of the function. */
bool vcr_patch_x86(const struct vcr_patch_site *site, struct vcr_patch *out);
/* Likewise for AArch64; the slot has to be within 128 MB. */
bool vcr_patch_arm64(const struct vcr_patch_site *site, struct vcr_patch *out);

#endif
