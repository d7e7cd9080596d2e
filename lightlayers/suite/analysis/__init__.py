"""From records to tables, intervals, verdicts, comparisons and sentences."""
