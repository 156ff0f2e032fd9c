#ifdef __cplusplus
extern "C" {
#endif
double plain(int rounds);
double optimized(int rounds);
double fastest(int rounds);
double generic(int rounds);
#ifdef __cplusplus
}
#endif
