void run_strangers(int seconds);
long strangers_called(void);
void nap_on_own_stack(int micros);
int take_signals(int seconds);
int signals_handled(void);
void touch(int *p);
