#include "agent.h"
#include "canon.h"
#include "json.h"
#include "program.h"
#include <elf.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EDGE = 64 << 10, SHORT = 12, MOST_NOTES = 64 << 10, LEVELS = 5, MAX_PACKAGE = 256 << 10 };

/* ---- A file in twelve digits ---- */

static bool read_at(int fd, void *p, size_t n, off_t at)
{
	return pread(fd, p, n, at) == (ssize_t)n;
}

/* The note's digits; false: there is none. 64-bit files only: others are hashed. */
static bool build_id(int fd, char out[SHORT + 1])
{
	Elf64_Ehdr h;
	Elf64_Phdr p;
	if (!read_at(fd, &h, sizeof h, 0) || memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_phentsize != sizeof p)
		return false;
	for (int i = 0; i < h.e_phnum && i < 64; i++) {
		if (!read_at(fd, &p, sizeof p, (off_t)(h.e_phoff + (uint64_t)i * sizeof p)) || p.p_type != PT_NOTE || p.p_filesz > MOST_NOTES)
			continue;
		for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= p.p_filesz;) {
			Elf64_Nhdr n;
			unsigned char id[4 + SHORT / 2];
			if (!read_at(fd, &n, sizeof n, (off_t)(p.p_offset + at)) || n.n_namesz > MOST_NOTES || n.n_descsz > MOST_NOTES)
				break;
			if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && n.n_descsz >= SHORT / 2 && read_at(fd, id, sizeof id, (off_t)(p.p_offset + at + sizeof n)) && !memcmp(id, "GNU", 4)) {
				for (int k = 0; k < SHORT / 2; k++)
					sprintf(out + 2 * k, "%02x", id[4 + k]);
				return true;
			}
			at += sizeof n + ((n.n_namesz + 3) & ~3u) + ((n.n_descsz + 3) & ~3u);
		}
	}
	return false;
}

static bool digits_of(const char *path, char out[SHORT + 1])
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	char hex[VCR_KEY_LEN];
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool regular = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode), ok = regular && build_id(fd, out);
	if (regular && !ok && vcr_buf_reserve(&b, 2 * EDGE + 32)) {
		vcr_buf_printf(&b, "%lld\n", (long long)st.st_size);
		for (int end = 0; end < 2; end++) {
			ssize_t n = pread(fd, vcr_buf_reserve(&b, EDGE), EDGE, end && st.st_size > EDGE ? st.st_size - EDGE : 0);
			vcr_buf_added(&b, n > 0 ? (size_t)n : 0);
		}
		vcr_sha256_hex(b.data, b.len, hex);
		snprintf(out, SHORT + 1, "%.*s", SHORT, hex);
		ok = true;
	}
	if (fd >= 0)
		close(fd);
	return ok;
}

static void add_file(struct vcr_buf *out, const char *path)
{
	char digits[SHORT + 1];
	const char *slash = strrchr(path, '/');
	if (digits_of(path, digits))
		vcr_buf_printf(out, "%s%s %s", out->len ? ", " : "", slash ? slash + 1 : path, digits);
}

/* ---- The script and its package ---- */

static bool is_file(const char *path)
{
	struct stat st;
	return !stat(path, &st) && S_ISREG(st.st_mode);
}

static bool read_package(const char *path, struct vcr_buf *out)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, name = VCR_BUF_INIT, version = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = fd < 0 || !vcr_buf_reserve(&text, MAX_PACKAGE) ? -1 : read(fd, text.data, MAX_PACKAGE);
	if (fd >= 0)
		close(fd);
	vcr_buf_added(&text, n > 0 ? (size_t)n : 0);
	if (n <= 0 || vcr_json_parse(&j, text.data, text.len, 0, NULL) || vcr_json_str(&j, vcr_json_get(&j, 0, "name"), &name) || vcr_json_str(&j, vcr_json_get(&j, 0, "version"), &version))
		return false;
	vcr_buf_printf(out, ", %.100s %.60s", name.data, version.data);
	return true;
}

static void add_package(struct vcr_buf *out, const char *script)
{
	char real[PATH_MAX], path[PATH_MAX + 16];
	if (!realpath(script, real))
		return;
	for (int i = 0; i < LEVELS; i++) {
		char *slash = strrchr(real, '/');
		if (!slash || slash == real)
			return;
		*slash = 0;
		snprintf(path, sizeof path, "%s/package.json", real);
		if (read_package(path, out))
			return;
	}
}

static bool takes_scripts(const char *path)
{
	static const char *const names[] = { "python", "node", "bun", "deno", "bash", "sh", "dash", "zsh", "ruby", "perl", "php", NULL };
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	for (const char *const *n = names; *n; n++)
		if (!strncmp(base, *n, strlen(*n)) && !base[strlen(*n) + strspn(base + strlen(*n), "0123456789.")])
			return true;
	return false;
}

int vcr_agent_identity(char *const *argv, struct vcr_buf *out)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_program p;
	char command[VCR_PROGRAM_PATH];
	const char *script = NULL;
	if (!argv || !argv[0] || !vcr_program_find(argv[0], NULL, command))
		return 0;
	vcr_program_look(command, &p);
	if (p.steps)
		script = command;
	for (int i = 1; !script && i < 16 && argv[i] && takes_scripts(p.path); i++)
		if (*argv[i] != '-' && is_file(argv[i]))
			script = argv[i];
		else if (*argv[i] != '-')
			break; /* a module's name, or what is to be done */
	add_file(&b, *p.path ? p.path : command);
	if (script)
		add_file(&b, script);
	if (script)
		add_package(&b, script);
	return b.err ? b.err : vcr_buf_add(out, b.data, b.len);
}
