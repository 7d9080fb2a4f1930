#include "agent.h"
#include "canon.h"
#include "json.h"
#include "program.h"
#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EDGE = 64 << 10, SHORT = 12, MOST_NOTES = 64 << 10, LEVELS = 5, MAX_PACKAGE = 256 << 10, MOST_ARGS = 16, MOST_PACKAGES = 4096, MAX_LIST = 64 << 10 };

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

static bool read_text(const char *path, size_t most, struct vcr_buf *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = fd < 0 || !vcr_buf_reserve(text, most + 1) ? -1 : read(fd, text->data, most);
	if (fd >= 0)
		close(fd);
	vcr_buf_added(text, n > 0 ? (size_t)n : 0);
	if (n > 0)
		text->data[n] = 0;
	return n > 0;
}

static bool read_package(const char *path, struct vcr_buf *out)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, name = VCR_BUF_INIT, version = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (!read_text(path, MAX_PACKAGE, &text) || vcr_json_parse(&j, text.data, text.len, 0, NULL) || vcr_json_str(&j, vcr_json_get(&j, 0, "name"), &name) || vcr_json_str(&j, vcr_json_get(&j, 0, "version"), &version))
		return false;
	vcr_buf_printf(out, ", %.100s %.60s", name.data, version.data);
	return true;
}

static bool add_package(struct vcr_buf *out, const char *script)
{
	char real[PATH_MAX], path[PATH_MAX + 16];
	if (!realpath(script, real))
		return false;
	for (int i = 0; i < LEVELS; i++) {
		char *slash = strrchr(real, '/');
		if (!slash || slash == real)
			return false;
		*slash = 0;
		snprintf(path, sizeof path, "%s/package.json", real);
		if (read_package(path, out))
			return true;
	}
	return false;
}

/* ---- Python's packages: NAME-VERSION.dist-info in PREFIX/lib/python…/site-packages ---- */

/* What is looked for: a command's name in entry_points.txt, or a module's, which is the package's or stands in top_level.txt. */
struct wanted { const char *name; size_t n; bool module; };

/* Does a line begin with that word? */
static bool has_line(const char *text, const struct wanted *w)
{
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p != 0)
		if (!strncmp(p, w->name, w->n) && (w->module ? !p[w->n] || strchr("\r\n", p[w->n]) : p[w->n + strspn(p + w->n, " \t")] == '='))
			return true;
	return false;
}

static bool is_name(const char *package, size_t n, const struct wanted *w)
{
	if (n != w->n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (tolower((unsigned char)package[i]) != tolower((unsigned char)w->name[i]) && !(strchr("-._", package[i]) && strchr("-._", w->name[i])))
			return false;
	return true;
}

static bool look_into(const char *dir, const struct wanted *w, struct vcr_buf *out)
{
	static const char end[] = ".dist-info";
	DIR *d = opendir(dir);
	bool found = false;
	struct dirent *e;
	for (int i = 0; d && !found && i < MOST_PACKAGES && (e = readdir(d)); i++) {
		VCR_AUTO_BUF text = VCR_BUF_INIT;
		char path[2 * PATH_MAX + 300];
		size_t n = strlen(e->d_name), name = strcspn(e->d_name, "-"), k = sizeof end - 1;
		if (n <= name + 1 + k || strcmp(e->d_name + n - k, end))
			continue;
		snprintf(path, sizeof path, "%s/%s/%s", dir, e->d_name, w->module ? "top_level.txt" : "entry_points.txt");
		found = (w->module && is_name(e->d_name, name, w)) || (read_text(path, MAX_LIST, &text) && has_line(text.data, w));
		if (found)
			vcr_buf_printf(out, ", %.*s %.*s", (int)(name < 100 ? name : 100), e->d_name, (int)(n - k - name - 1 < 60 ? n - k - name - 1 : 60), e->d_name + name + 1);
	}
	if (d)
		closedir(d);
	return found;
}

static bool look_below(const char *prefix, const struct wanted *w, struct vcr_buf *out)
{
	char path[PATH_MAX + 128];
	snprintf(path, sizeof path, "%s/lib", prefix);
	DIR *d = opendir(path);
	bool found = false;
	struct dirent *e;
	for (int i = 0; d && !found && i < MOST_PACKAGES && (e = readdir(d)); i++)
		for (int debian = 0; debian < 2 && !found && !strncmp(e->d_name, "python3", 7); debian++) {
			snprintf(path, sizeof path, "%s/lib/%.60s/%s-packages", prefix, e->d_name, debian ? "dist" : "site");
			found = look_into(path, w, out);
		}
	if (d)
		closedir(d);
	return found;
}

/* file: PREFIX/bin/NAME */
static void add_distribution(struct vcr_buf *out, const char *file, const char *module)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s", file);
	char *slash = strrchr(path, '/'), *bin = slash && slash > path ? memrchr(path, '/', (size_t)(slash - path)) : NULL;
	if (!bin)
		return;
	struct wanted w = { module ? module : slash + 1, module ? strcspn(module, ".") : strlen(slash + 1), module != NULL };
	*bin = 0;
	if (w.n && !look_below(path, &w, out) && !strcmp(path, "/usr"))
		look_below("/usr/local", &w, out);
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

static bool is_python(const char *path)
{
	const char *slash = strrchr(path, '/');
	return !strncmp(slash ? slash + 1 : path, "python", 6);
}

int vcr_agent_identity(char *const *argv, struct vcr_buf *out)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_program p;
	char command[VCR_PROGRAM_PATH], real[PATH_MAX];
	const char *script = NULL, *module = NULL;
	if (!argv || !argv[0] || !vcr_program_find(argv[0], NULL, command))
		return 0;
	vcr_program_look(command, &p);
	if (p.steps)
		script = command;
	for (int i = 1; !script && !module && i < MOST_ARGS && argv[i] && takes_scripts(p.path); i++)
		if (*argv[i] != '-' && is_file(argv[i]))
			script = argv[i];
		else if (!strcmp(argv[i], "-m") && is_python(p.path))
			module = argv[i + 1];
		else if (*argv[i] != '-')
			break; /* a module's name, or what is to be done */
	const char *program = *p.path ? p.path : command;
	add_file(&b, realpath(program, real) ? real : program); /* python3 is python3.11, as a process of it says */
	if (script)
		add_file(&b, script);
	if (script && !add_package(&b, script) && is_python(p.path) && realpath(script, real))
		add_distribution(&b, real, NULL);
	if (module && realpath(command, real)) /* not what a virtual environment's python is a link to */
		add_distribution(&b, *command == '/' ? command : real, module);
	return b.err ? b.err : vcr_buf_add(out, b.data, b.len);
}

/* ---- A process ---- */

int vcr_agent_of_process(const char *exe, const char *cwd, int argc, char *const *argv, struct vcr_buf *out)
{
	VCR_AUTO_BUF places = VCR_BUF_INIT;
	const char *as[MOST_ARGS + 1] = { exe };
	int n = 1;
	if (!vcr_buf_reserve(&places, MOST_ARGS * PATH_MAX))
		return VCR_ENOMEM;
	for (; n < argc && n < MOST_ARGS; n++) {
		char *to = places.data + (size_t)n * PATH_MAX;
		bool there = *argv[n] != '/' && snprintf(to, PATH_MAX, "%s/%s", cwd, argv[n]) < PATH_MAX && is_file(to);
		as[n] = there ? to : argv[n];
	}
	as[n] = NULL;
	return vcr_agent_identity((char *const *)as, out);
}
