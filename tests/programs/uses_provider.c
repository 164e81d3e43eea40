// Its markers are all in a library. Built by tests/usdt.rs.
int run_rounds(void);

int main(void)
{
	return run_rounds();
}
