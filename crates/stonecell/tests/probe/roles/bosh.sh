cat /run/agent-report
