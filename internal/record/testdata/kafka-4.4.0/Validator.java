// Gives the cases of cases_test.go to Apache Kafka's own validator and prints its answers. With the jars of Kafka 4.4.0 in JARS:
//
//	MOLDAU_CASES=/tmp/cases.txt go test -run TestWriteCases ./internal/record
//	java -cp 'JARS/*' Validator.java /tmp/cases.txt > validator.txt
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.common.utils.internals.BufferSupplier;
import org.apache.kafka.common.utils.internals.PrimitiveRef;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.LogValidator;
import org.apache.kafka.storage.internals.log.RecordValidationException;

public class Validator {
    static final LogValidator.MetricsRecorder METRICS = new LogValidator.MetricsRecorder() {
        public void recordInvalidMagic() { }
        public void recordInvalidOffset() { }
        public void recordInvalidSequence() { }
        public void recordInvalidChecksums() { }
        public void recordNoKeyCompactedTopic() { }
    };

    public static void main(String[] args) throws Exception {
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            String[] f = line.split("\t", -1);
            System.out.println(f[0] + "\t" + answer(f).replace("\n", " "));
        }
    }

    static String answer(String[] f) {
        try {
            MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(HexFormat.of().parseHex(f[1])));
            CompressionType source = records.batches().iterator().next().compressionType();
            Compression target = Compression.of(f[6].isEmpty() ? source : CompressionType.forName(f[6])).build();
            int maxRecord = Integer.parseInt(f[7]) == 0 ? Integer.MAX_VALUE : Integer.parseInt(f[7]);
            long now = Long.parseLong(f[8]);
            Time time = new Time() {
                public long milliseconds() { return now; }
                public long nanoseconds() { return 0; }
                public long hiResClockMs() { return now; }
                public void sleep(long ms) { }
                public void waitObject(Object o, java.util.function.Supplier<Boolean> c, long d) { }
                public org.apache.kafka.common.utils.Timer timer(long t) { return null; }
            };
            LogValidator v = new LogValidator(records, new TopicPartition("topic", 3), time, source, target,
                Boolean.parseBoolean(f[5]), (byte) 2, f[2].equals("1") ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME,
                Long.parseLong(f[3]), Long.parseLong(f[4]), 0, AppendOrigin.CLIENT, maxRecord);
            MemoryRecords out = v.validateMessagesAndAssignOffsets(PrimitiveRef.ofLong(0), METRICS, BufferSupplier.NO_CACHING).validatedRecords();
            StringBuilder s = new StringBuilder("ok");
            for (RecordBatch b : out.batches()) {
                s.append(" ").append(b.compressionType().name).append(" ").append(b.timestampType().name).append(" max=").append(b.maxTimestamp());
                for (Record r : b)
                    s.append(" ").append(r.offset()).append("@").append(r.timestamp()).append(":").append(r.keySize()).append(",")
                        .append(r.valueSize()).append(",").append(r.headers().length);
            }
            return s.toString();
        } catch (RecordValidationException e) {
            StringBuilder s = new StringBuilder(e.invalidException().getClass().getSimpleName() + "\t" + e.invalidException().getMessage());
            e.recordErrors().forEach(r -> s.append("\t").append(r.batchIndex).append(" ").append(r.message));
            return s.toString();
        } catch (Throwable e) {
            return e.getClass().getSimpleName() + "\t" + e.getMessage();
        }
    }
}
