#include "doctor.h"
#include "../lib/config.h" /* not configure's */
#include "patch.h"
#include "shim.h"
#include <ctype.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_STEPS = 6 };

static const char *const tls_functions[] = {
#define X(name) #name,
	VCR_HOOKS_TLS(X)
#undef X
};

/* ---- What is run in the end ---- */

/* env(1)'s command among its words: behind options and NAME=VALUE. NULL if there is none, or an option says something else. */
static const char *behind_env(char *words, char **rest)
{
	for (char *w = strtok_r(words, " \t", rest); w; w = strtok_r(NULL, " \t", rest)) {
		if (!strcmp(w, "-S") || !strcmp(w, "-i") || !strcmp(w, "-") || !strcmp(w, "--") || strchr(w, '='))
			continue;
		return *w == '-' ? NULL : w;
	}
	return NULL;
}

static bool is_env(const char *path)
{
	const char *slash = strrchr(path, '/');
	return !strcmp(slash ? slash + 1 : path, "env");
}

/* The words that env was given, by the "#!" line that names it or by the command line. */
static const char *words_for_env(const struct vcr_program *p, char *const argv[], int *at, struct vcr_buf *words)
{
	if (p->steps) {
		const char *line = p->words[p->steps - 1];
		vcr_buf_puts(words, line + strcspn(line, " \t"));
	} else {
		for (int i = *at + 1; argv && argv[i]; i++)
			vcr_buf_printf(words, "%s%s", i > *at + 1 ? " " : "", argv[i]);
	}
	char *rest;
	return words->len ? behind_env(words->data, &rest) : NULL;
}

/* From the command to the program that talks: through "#!" and env. chain: the way in words. False: it is not there. */
static bool follow(struct vcr_doctor *d, char *const argv[], struct vcr_program *p, struct vcr_buf *chain)
{
	char path[VCR_PROGRAM_PATH];
	VCR_AUTO_BUF command = VCR_BUF_INIT;
	int at = 0;
	vcr_buf_puts(&command, argv[0]);
	for (int step = 0; step < MOST_STEPS; step++) {
		VCR_AUTO_BUF words = VCR_BUF_INIT;
		if (!vcr_program_find(command.data, NULL, path)) {
			vcr_finding(d, VCR_FINDING_BAD, "program", "install it, or look at PATH", "%s is not there%s", command.data, step ? ", which the command would start" : "");
			return false;
		}
		vcr_program_look(path, p);
		vcr_buf_printf(chain, "%s%s", chain->len ? " -> " : "", path);
		for (int i = 0; i < p->steps; i++)
			vcr_buf_printf(chain, " -> %s", p->words[i]);
		const char *next = is_env(p->path) ? words_for_env(p, argv, &at, &words) : NULL;
		if (!next)
			return true;
		vcr_buf_reset(&command);
		vcr_buf_puts(&command, next);
		argv = NULL;
	}
	return true;
}

/* ---- node ---- */

/* Why OpenSSL inside the program cannot be tapped: the first function that refuses; false if all can. */
static bool refuses(const struct vcr_program *p, char why[200])
{
	unsigned char *code = malloc(VCR_PROGRAM_FUNCTION);
	bool refused = !code;
	snprintf(why, 200, "out of memory");
	for (size_t i = 0; code && i < sizeof tls_functions / sizeof *tls_functions && !refused; i++) {
		struct vcr_patch patch;
		uint64_t at = 0;
		size_t n = vcr_program_function(p, tls_functions[i], code, &at);
		struct vcr_patch_site site = { .code = code, .size = n, .at = at, .slot = (at & ~0xffffull) - (1 << 20), .hook = 0x7f0000000000 };
		refused = n && !(p->machine == EM_X86_64 ? vcr_patch_x86 : vcr_patch_arm64)(&site, &patch);
		if (refused)
			snprintf(why, 200, "%s %s", tls_functions[i], patch.refused ? patch.refused : "is not understood");
	}
	free(code);
	return refused;
}

/* ---- The lane ---- */

static void lane(struct vcr_doctor *d, const char *name, const char *todo, const char *why)
{
	d->lane = name;
	vcr_finding(d, !strcmp(name, "none") ? VCR_FINDING_BAD : todo ? VCR_FINDING_LESS : VCR_FINDING_FINE, "lane", todo, "%s: %s", name, why);
}

#define BY_AUTO "lane tap stands in .vcr/config, and keeps it from the gate: take it out, or give --lane=auto"
#define BY_GATE "give vcr-record --lane=gate, or lane gate in .vcr/config"

/* Which lane does the configuration choose? The default is auto. */
static bool is_configured(const struct vcr_doctor *d, const char *lane)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	struct vcr_config c;
	bool yes = !vcr_tool_dir(d->t, &dir, NULL) && !vcr_config_load(&c, dir.data, NULL) && c.lane && !strcmp(c.lane, lane);
	if (dir.len)
		vcr_config_release(&c);
	return yes;
}

/* A program that the library goes into. */
static void lane_by_tls(struct vcr_doctor *d, const struct vcr_program *p)
{
	const char *by_auto = is_configured(d, "tap") ? BY_AUTO : NULL, *by_gate = is_configured(d, "gate") ? NULL : BY_GATE;
	char why[200], text[400];
	switch (p->tls) {
	case VCR_TLS_SHARED:
		snprintf(text, sizeof text, "it uses %s, whose calls the library stands in front of", p->library);
		lane(d, "tap", NULL, text);
		break;
	case VCR_TLS_EXPORTED:
		if (refuses(p, why)) {
			snprintf(text, sizeof text, "OpenSSL is inside it and cannot be tapped: %s", why);
			lane(d, "gate", p->napi ? by_auto : by_gate, text);
		} else {
			lane(d, "tap", NULL, "OpenSSL is inside it, exported, and each of its functions can be tapped");
		}
		break;
	case VCR_TLS_OTHER:
		snprintf(text, sizeof text, "it uses %s, which is not seen", p->library);
		lane(d, "gate", by_gate, text);
		break;
	case VCR_TLS_OWN:
		lane(d, "gate", by_auto, p->napi ? "it runs JavaScript with TLS of its own, hidden inside, as Bun does" : "it is a Python with OpenSSL linked in, where nothing can be hooked");
		break;
	default:
		lane(d, "tap", NULL, "it has no TLS of its own; of OpenSSL that it loads (Python, Ruby, PHP, ...) and of plain HTTP all is seen");
	}
}

static void lane_of(struct vcr_doctor *d, const struct vcr_program *p)
{
	char text[400];
	snprintf(text, sizeof text, "%s", vcr_program_kind_line(p->kind));
	switch (p->kind) {
	case VCR_PROGRAM_TAKES: lane_by_tls(d, p); break;
	case VCR_PROGRAM_GO: case VCR_PROGRAM_STATIC: case VCR_PROGRAM_MUSL:
		lane(d, "lent", is_configured(d, "tap") ? BY_AUTO : "vcr-record lends it HTTPS_PROXY and certificates; if it does not heed them its model calls are not seen", text);
		break;
	case VCR_PROGRAM_ASAN: lane(d, "none", "build it without AddressSanitizer; what it does to files is seen anyway", text); break;
	case VCR_PROGRAM_SETID: lane(d, "none", "run it as the user that it belongs to; what it does to files of the workspace is seen anyway", text); break;
	case VCR_PROGRAM_FOREIGN: lane(d, "none", "take the one for this machine; what it does to files is seen anyway", text); break;
	default: lane(d, "none", "give the command as it is run", text);
	}
}

void vcr_doctor_program(struct vcr_doctor *d, char *const argv[])
{
	VCR_AUTO_BUF chain = VCR_BUF_INIT;
	struct vcr_program *p = malloc(sizeof *p);
	d->lane = "none";
	if (p && follow(d, argv, p, &chain)) {
		const char *machine = p->machine == EM_X86_64 ? " x86-64" : p->machine == EM_AARCH64 ? " AArch64" : p->machine == EM_386 ? " i386" : p->bits ? " other machine" : "";
		vcr_finding(d, VCR_FINDING_FINE, "program", NULL, "%s", chain.data);
		if (p->bits)
			vcr_finding(d, VCR_FINDING_FINE, "format", NULL, "ELF %d-bit%s, %s%s", p->bits, machine, *p->loader ? "loader " : "no loader", p->loader);
		lane_of(d, p);
	}
	free(p);
}
