// For the image `pause`: does nothing until it is told to end, and reaps the orphans of its PID namespace.
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void) {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &wanted, NULL) != 0) return 1;
    for (;;) {
        int which = sigwaitinfo(&wanted, NULL);
        if (which == SIGINT || which == SIGTERM) return 0;
        if (which == SIGCHLD) {
            while (waitpid(-1, NULL, WNOHANG) > 0) {
            }
        }
    }
}
