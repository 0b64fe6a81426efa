"""What is known of a candidate: looks at both arms, evidence, findings, the verdict. Pure; decides nothing."""
