/* rpc.c — a process that is asked in JSON-RPC over its standard input: an agent's MCP server. The server's side is recorded and not the agent's: one
 * process has exactly two descriptors of interest there, and they are known from the start. Whatever else stands in a pipe is let go at its
 * first bytes, in either direction. */
#include "shim.h"

static bool carries(int fd)
{
	struct stat st;
	return !raw_fstat(fd, &st) && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

VCR_EARLY void vcr_rpc_watch(void)
{
	if (!carries(0) || !carries(1) || vcr_fd_get(0) || vcr_fd_get(1))
		return;
	vcr_fd_set(0, VCR_FD_STDIO);
	vcr_fd_set(1, VCR_FD_STDIO);
}

void vcr_rpc_not(void)
{
	for (int fd = 0; fd < 2; fd++)
		if (vcr_fd_get(fd) == VCR_FD_STDIO)
			vcr_fd_set(fd, VCR_FD_NONE);
}

/* An object that within its first 64 bytes names a method or the protocol: the order of members is the sender's. */
static bool is_rpc(const char *p, size_t n)
{
	static const char *const word[] = { "\"jsonrpc\"", "\"method\"" };
	n = n < 64 ? n : 64;
	if (!n || (*p != '{' && *p != '['))
		return false;
	for (size_t i = 0; i < 2; i++)
		for (size_t at = 0, k = strlen(word[i]); at + k <= n; at++)
			if (!memcmp(p + at, word[i], k))
				return true;
	return false;
}

void vcr_rpc_in(const void *buf, size_t n)
{
	if (!vcr_ready() || vcr_guest() || vcr_self.sandboxed || !is_rpc(buf, n) || vcr_fd_get(1) != VCR_FD_STDIO) {
		vcr_rpc_not();
		return;
	}
	vcr_want_collector();
	char input[48] = "";
	struct stat st;
	if (!raw_fstat(0, &st))
		vcr_format_number(vcr_format(vcr_format_number(input, st.st_dev, 1), ":"), st.st_ino, 1);
	uint32_t conn = vcr_conn_open(VCR_CONN_PIPE, 0, input);
	for (int fd = 0; fd < 2; fd++) {
		vcr_fd_at(fd)->conn = conn;
		vcr_fd_set(fd, conn ? VCR_FD_PLAIN : VCR_FD_NONE);
	}
}
