from gelda.cli import main

main()
