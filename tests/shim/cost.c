/* cost.c — N calls of one kind on a descriptor that does not matter: cost HOW N, HOW write read send close open. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char c = 0;
	int n = argc == 3 ? atoi(argv[2]) : 0, out = open("/dev/null", O_WRONLY), in = open("/dev/zero", O_RDONLY), pair[2];
	if (argc != 3 || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
		return 2;
	for (int i = 0; i < n; i++)
		if (!strcmp(argv[1], "write"))
			n -= write(out, &c, 1) != 1;
		else if (!strcmp(argv[1], "read"))
			n -= read(in, &c, 1) != 1;
		else if (!strcmp(argv[1], "close"))
			close(-1);
		else if (!strcmp(argv[1], "open"))
			close(open("/dev/null", O_RDONLY));
		else if (send(pair[0], &c, 1, 0) != 1 || recv(pair[1], &c, 1, 0) != 1)
			return 1;
	return 0;
}
