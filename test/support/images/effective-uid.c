// For the image `nonewprivs`: the program belongs to root and is setuid, so that what it prints tells whether exec
// could still raise privileges.
#include <stdio.h>
#include <unistd.h>

int main(void) {
    if (printf("Effective uid: %u\n", (unsigned)geteuid()) < 0) return 1;
    return 0;
}
