#include "again.h"
#include "beneath.h"
#include "limits.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void vcr_again_rebind(const struct vcr_normal_context *in, const struct vcr_normal_context *live, const struct vcr_buf *text, struct vcr_buf *out)
{
	const char *const from[] = { in->cwd, in->workspace, in->home, in->tmp }, *const to[] = { live->cwd, live->workspace, live->home, live->tmp };
	for (size_t at = 0; at < text->len;) {
		size_t longest = 0, which = 0;
		for (size_t i = 0; i < 4 && text->data[at] == '/'; i++) {
			size_t n = to[i] ? vcr_normal_directory(from[i], text->data, text->len, at) : 0;
			if (n > longest)
				longest = n, which = i;
		}
		if (longest)
			vcr_buf_puts(out, to[which]);
		else
			vcr_buf_putc(out, text->data[at]);
		at += longest ? longest : 1;
	}
}

static void short_string(const struct vcr_json *j, int v, const char *key, char *to, size_t cap)
{
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	if (!vcr_json_str(j, vcr_json_get(j, v, key), &s) && s.len < cap)
		strcpy(to, s.data);
}

static bool is_ours(const char *rel)
{
	return !strncmp(rel, ".vcr", 4) && (!rel[4] || rel[4] == '/');
}

static void make_parents(int root, const char *rel)
{
	char dir[VCR_MAX_PATH];
	for (const char *slash = strchr(rel, '/'); slash; slash = strchr(slash + 1, '/')) {
		const char *name;
		snprintf(dir, sizeof dir, "%.*s", (int)(slash - rel), rel);
		int at = vcr_beneath_parent(root, dir, &name);
		if (at < 0)
			return;
		mkdirat(at, name, 0777);
		close(at);
	}
}

/* Beside it, then in its place. A link is made by what it points to. */
static bool put_file(int at, const char *name, unsigned mode, const struct vcr_buf *content)
{
	char beside[40];
	snprintf(beside, sizeof beside, ".vcr-standin.%d", (int)getpid());
	unlinkat(at, beside, 0);
	if (S_ISLNK(mode))
		return !symlinkat(content->data, at, beside) && !renameat(at, beside, at, name);
	int fd = openat(at, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	bool good = true;
	for (size_t done = 0; good && done < content->len;) {
		ssize_t k = write(fd, content->data + done, content->len - done);
		good = k > 0 || (k < 0 && errno == EINTR);
		done += k > 0 ? (size_t)k : 0;
	}
	good = good && !fchmod(fd, mode & 0777);
	close(fd);
	if (good && !renameat(at, beside, at, name))
		return true;
	unlinkat(at, beside, 0);
	return false;
}

static bool put_content(const struct vcr_again *a, const struct vcr_reader_frame *f, int at, const char *name)
{
	VCR_AUTO_BUF recorded = VCR_BUF_INIT, live = VCR_BUF_INIT;
	char ref[48] = "", mode[16] = "";
	int after = vcr_json_get(f->j, f->output, "after");
	short_string(f->j, f->output, "content", ref, sizeof ref);
	short_string(f->j, after, "mode", mode, sizeof mode);
	unsigned bits = (unsigned)strtoul(mode, NULL, 8);
	if (!*ref || vcr_reader_body(a->reader, ref, &recorded, NULL))
		return false;
	live.max = VCR_AGAIN_MOST;
	if (!memchr(recorded.data, 0, recorded.len))
		vcr_again_rebind(a->in, a->live, &recorded, &live);
	if (live.err)
		return false;
	return put_file(at, name, bits, memchr(recorded.data, 0, recorded.len) ? &recorded : &live);
}

static bool change_mode(int root, const char *rel, const struct vcr_reader_frame *f)
{
	char mode[16] = "";
	short_string(f->j, vcr_json_get(f->j, f->output, "after"), "mode", mode, sizeof mode);
	int fd = vcr_beneath_open(root, rel, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	bool good = fd >= 0 && *mode && !fchmod(fd, (mode_t)strtoul(mode, NULL, 8) & 0777);
	if (fd >= 0)
		close(fd);
	return good;
}

static bool move_file(const struct vcr_again *a, const struct vcr_reader_frame *f, int at, const char *name)
{
	VCR_AUTO_BUF old = VCR_BUF_INIT;
	const char *from;
	if (vcr_json_str(f->j, vcr_json_get(f->j, f->input, "old_path"), &old) || is_ours(old.data))
		return false;
	int there = vcr_beneath_parent(a->root, old.data, &from);
	bool good = there >= 0 && !renameat(there, from, at, name);
	if (there >= 0)
		close(there);
	return good;
}

bool vcr_again_change(const struct vcr_again *a, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF rel = VCR_BUF_INIT;
	const char *what = f->node_name + strlen("file:"), *name;
	if (vcr_json_str(f->j, vcr_json_get(f->j, f->input, "path"), &rel) || strlen(rel.data) != rel.len || !vcr_beneath_valid(rel.data) || is_ours(rel.data))
		return false;
	make_parents(a->root, rel.data);
	int at = vcr_beneath_parent(a->root, rel.data, &name);
	if (at < 0)
		return false;
	bool done;
	if (!strcmp(what, "delete"))
		done = !unlinkat(at, name, 0) || errno == ENOENT;
	else if (!strcmp(what, "rmdir"))
		done = !unlinkat(at, name, AT_REMOVEDIR) || errno == ENOENT;
	else if (!strcmp(what, "mkdir"))
		done = !mkdirat(at, name, 0777) || errno == EEXIST;
	else if (!strcmp(what, "mode"))
		done = change_mode(a->root, rel.data, f);
	else if (!strcmp(what, "rename"))
		done = move_file(a, f, at, name) || put_content(a, f, at, name);
	else
		done = put_content(a, f, at, name);
	close(at);
	return done;
}
