void end_all(void);
void run_strangers(void);
long strangers_called(void);
void nap_on_own_stack(int micros);
int take_signals(void);
int signals_handled(void);
void touch(int *p);
